/**
 * Patterns for host names, as in known_hosts and ssh_config: `*`, `?`, and `!` for "but not".
 */

const toRegExp = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
    "s"
  )

/** Whether a list matches `name`: a pattern fits, and no pattern with a leading `!` does. The case of letters matters. */
export const matchesPattern = (patterns: ReadonlyArray<string>, name: string): boolean =>
  patterns.some((pattern) => !pattern.startsWith("!") && toRegExp(pattern).test(name)) &&
  !patterns.some((pattern) => pattern.startsWith("!") && toRegExp(pattern.slice(1)).test(name))

/** Whether a list matches the host name `name`, which is in lower case. The case of the patterns does not matter. */
export const matchesHost = (patterns: ReadonlyArray<string>, name: string): boolean =>
  matchesPattern(
    patterns.map((pattern) => pattern.toLowerCase()),
    name
  )
