/**
 * A way for a program that runs elsewhere to put a question to this process: the program that `SSH_ASKPASS` names.
 */
import { writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A question, and how to answer it. Undefined cancels it. */
export interface Question {
  readonly text: string
  readonly answer: (text: string | undefined) => void
}

/** The folder cannot hold the socket or the program. */
export class ListenFailed extends Data.TaggedError("ListenFailed")<{ readonly detail: string }> {}

const client = `const s = require("net").connect(process.argv[1])
let a = ""
s.on("error", () => process.exit(1))
s.on("data", (d) => { a += d })
s.on("end", () => { if (!a.startsWith("=")) process.exit(1); process.stdout.write(a.slice(1) + "\\n") })
s.end(process.argv[2])`

const word = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

/** Writes the program into the folder and passes its questions on, until the scope ends. Returns the path of the program. */
export const listen = (
  folder: string,
  ask: (question: Question) => void
): Effect.Effect<string, ListenFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const socket = join(folder, "ask")
    yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>, ListenFailed>((resume) => {
        const server = createServer({ allowHalfOpen: true }, (connection) => {
          let text = ""
          connection.setEncoding("utf8")
          connection.on("error", () => {})
          connection.on("data", (part: string) => {
            text += part
          })
          connection.on("end", () =>
            ask({ text, answer: (answer) => connection.end(answer === undefined ? "" : `=${answer}`) })
          )
        })
        server.on("error", ({ message }) => resume(new ListenFailed({ detail: message })))
        server.listen(socket, () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close())
    )
    const program = join(folder, "askpass")
    yield* Effect.try({
      try: () =>
        writeFileSync(program, `#!/bin/sh\nexec ${word(process.execPath)} -e ${word(client)} ${word(socket)} "$1"\n`, {
          mode: 0o700
        }),
      catch: (error) => new ListenFailed({ detail: error instanceof Error ? error.message : String(error) })
    })
    return program
  })
