/** `completions`: the script that makes a shell complete deployer's command lines. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { completionScript, type Shell, shells } from "../internal/shellScripts.ts"
import { asWord, choice, task } from "./Task.ts"

/** The script for one shell. */
export class CompletionScript extends Schema.TaggedClass<CompletionScript>()("CompletionScript", {
  shell: Schema.Literal(...shells),
  script: Schema.String
}) {}

/** The script for a shell. */
export const completions = ({ shell }: { readonly shell: Shell }): Effect.Effect<CompletionScript> =>
  Effect.succeed(CompletionScript.make({ shell, script: completionScript(shell) }))

/** The command. */
export const completionsTask = task("completions", {
  group: "look",
  description: "Prints the script that completes command lines in a shell. Its first lines say where to put it.",
  examples: [
    "deployer completions bash",
    "deployer completions zsh",
    "deployer completions fish > ~/.config/fish/completions/deployer.fish"
  ],
  options: {
    shell: asWord(choice({ name: "shell", placeholder: shells.join("|"), description: "the shell" }, shells))
  },
  report: {
    schema: CompletionScript,
    view:
      ({ script }) =>
      () =>
        script.trimEnd()
  },
  run: completions
})
