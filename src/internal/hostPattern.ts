/**
 * Patterns for host names as known_hosts and ssh_config share them: `*`, `?`, and `!` for "but not".
 */

const toRegExp = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .toLowerCase()
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
    "s"
  )

/** Whether a list means `name`, which is in lower case: some pattern fits, and none that begins with `!` does. */
export const matchesHost = (patterns: ReadonlyArray<string>, name: string): boolean =>
  patterns.some((pattern) => !pattern.startsWith("!") && toRegExp(pattern).test(name)) &&
  !patterns.some((pattern) => pattern.startsWith("!") && toRegExp(pattern.slice(1)).test(name))
