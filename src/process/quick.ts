/**
 * Answers that need neither Effect nor the commands: help, and the scripts for shells.
 */
import { completionScript, isShell } from "../internal/shellScripts.ts"
import { embedded } from "./embedded.ts"
import { type Appearance, helpPage } from "./helpPage.ts"

/** The text for the arguments if they request help or a script, and nothing else. Undefined if the parser must decide. */
export const quickAnswer = (
  argv: ReadonlyArray<string>,
  appearance: Appearance,
  spec = embedded
): string | undefined => {
  const [first = "help", ...others] = argv
  if (spec === undefined) return undefined
  if (first === "completions" && others.length === 1 && isShell(others[0])) return completionScript(others[0])
  if (/^(-{0,2}help|-h)$/.test(first)) return helpPage(spec, others, appearance)
  // At the end, a bare `help` may be a word of the task.
  return /^(--?help|-h)$/.test(argv.at(-1) ?? "") ? helpPage(spec, argv.slice(0, -1), appearance) : undefined
}
