/** Writes the help of every task as JSON: pairs of a key of `src/process/help.ts` and a page. */
import * as Command from "@effect/cli/Command"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Argv from "../src/Argv.ts"
import * as Cli from "../src/Cli.ts"
import * as Live from "../src/Live.ts"
import * as Help from "../src/process/help.ts"
import * as Main from "../src/process/main.ts"
import { version } from "../src/Version.ts"

const command = Command.provide(Cli.tree.command, ({ root }) => Live.layer({ root: Option.getOrUndefined(root) }))

const tasks = ({ name, tasks: below }: Argv.TaskSpec): ReadonlyArray<ReadonlyArray<string>> => [
  [name],
  ...below.flatMap(tasks).map((path) => [name, ...path])
]

const page = (task: ReadonlyArray<string>) =>
  Console.consoleWith((base) => {
    let text = ""
    const log = (...words: ReadonlyArray<unknown>) =>
      Effect.sync(() => {
        text += `${words.join(" ")}\n`
      })
    return Main.run(
      { ...Cli.tree, command },
      { version, color: true }
    )([...task, "--help"]).pipe(
      Effect.withConsole({ ...base, log }),
      Effect.map(() => [Help.keyOf(task), text] as const)
    )
  })

const pages = Effect.forEach(tasks(Cli.tree.spec), ([, ...task]) => page(task))

Effect.runPromise(Effect.provide(pages, NodeContext.layer)).then((all) => process.stdout.write(JSON.stringify(all)))
