/**
 * Help rendered at build time: printing it does not load the command tree.
 */
import { helpPages } from "./helpPages.ts"

/** The page of a task in {@link helpPages}. */
export const keyOf = (task: ReadonlyArray<string>): string =>
  task
    .map((word) => `${word}\0`)
    .join("")
    .replaceAll("_", "-")

/** The page that the arguments request, if they request nothing else. Undefined if the parser must decide. */
export const find = (argv: ReadonlyArray<string>, pages = helpPages): string | undefined => {
  const [first = "help", ...others] = argv
  if (/^(-{0,2}help|-h)$/.test(first)) return pages.get(keyOf(others))
  // At the end, a bare `help` may be a word of the task.
  return /^(--?help|-h)$/.test(argv.at(-1) ?? "") ? pages.get(keyOf(argv.slice(0, -1))) : undefined
}
