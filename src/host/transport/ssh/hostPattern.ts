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

/** Whether a list matches `name`, case-sensitively: some pattern fits, and none that begins with `!` does. */
export const matchesPattern = (patterns: ReadonlyArray<string>, name: string): boolean =>
  patterns.some((pattern) => !pattern.startsWith("!") && toRegExp(pattern).test(name)) &&
  !patterns.some((pattern) => pattern.startsWith("!") && toRegExp(pattern.slice(1)).test(name))

/** The same for host names: `name` is in lower case, and the patterns' case does not matter. */
export const matchesHost = (patterns: ReadonlyArray<string>, name: string): boolean =>
  matchesPattern(
    patterns.map((pattern) => pattern.toLowerCase()),
    name
  )
