/**
 * Help that was rendered when the binary was made: to print it, nothing of the command tree is loaded.
 */
import { helpPages } from "./internal/helpPages.ts"

/** The page of a task in {@link helpPages}. */
export const keyOf = (task: ReadonlyArray<string>): string =>
  task
    .map((word) => `${word}\0`)
    .join("")
    .replaceAll("_", "-")

/** The page for which the arguments ask, and for nothing else; absent: the parser has the word. */
export const find = (argv: ReadonlyArray<string>, pages = helpPages): string | undefined => {
  const [first = "help", ...others] = argv
  if (/^(-{0,2}help|-h)$/.test(first)) return pages.get(keyOf(others))
  // At its end a bare `help` may be a word of the task's own.
  return /^(--?help|-h)$/.test(argv.at(-1) ?? "") ? pages.get(keyOf(argv.slice(0, -1))) : undefined
}
