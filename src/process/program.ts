/**
 * The command tree with its live services.
 */
import process from "node:process"
import * as Command from "@effect/cli/Command"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Argv from "../Argv.ts"
import { hasColor } from "../internal/color.ts"
import { findRoot, workspacePaths } from "../internal/projectFolder.ts"
import { targetKeys } from "../internal/projectIndex.ts"
import { layerIndexed } from "../Live.ts"
import { Reporter } from "../terminal/Reporter.ts"
import { tree } from "../tree.ts"
import { version } from "../Version.ts"
import { keepHeapSmall, restoreHeap } from "./heap.ts"
import * as LogFile from "./logFile.ts"
import * as Main from "./main.ts"
import { type Given, runMain } from "./runMain.ts"

/** Runs the arguments after the program's name and ends the process. At the end, `keepCode` keeps the code that is compiled by then. */
export const main = (argv: ReadonlyArray<string>, keepCode: () => void): void => {
  keepHeapSmall()
  process.once("exit", () => {
    // V8 takes no code that was made with other options.
    restoreHeap()
    keepCode()
  })
  const command = Command.provide(tree.command, ({ globals: { log, root, verbose } }) =>
    Layer.unwrapEffect(
      Effect.sync(() => {
        const terminal = Reporter.onTerminal({ verbose: verbose !== undefined })
        const reporter =
          log === undefined ? terminal : Layer.provide(LogFile.layer({ file: log, argv, version }), terminal)
        return layerIndexed({ root }, reporter)
      })
    )
  )
  const targets = () => {
    const folder = findRoot(process.cwd())
    return folder === undefined ? [] : targetKeys(workspacePaths(folder))
  }
  const color = hasColor(process.stdout, process.env)
  const program = ({ ending, write }: Given) =>
    Console.consoleWith((base) =>
      Effect.withConsole(
        Main.run({ ...tree, command }, { version, color, columns: process.stdout.columns, targets, ending })(argv),
        {
          ...base,
          log: (...words) => Effect.sync(() => write(`${words.join(" ")}\n`))
        }
      )
    ).pipe(Effect.provide(NodeContext.layer))
  runMain(program, { isData: Argv.isData(tree.spec)(argv) })
}
