/**
 * Answers: a command's report on stdout, in words for people, or as one JSON document if `json` requests data.
 */
import * as Terminal from "@effect/platform/Terminal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Answer, Color, isData } from "./Form.ts"
import { emit } from "./Reporter.ts"
import { withColor } from "./signs.ts"

/** Text that may depend on the columns of the terminal. Without a terminal nothing is cut. */
export type View = (columns: number | undefined) => string

/** A kind of report: its schema as data, and its view in words. */
export interface Kind<A, I> {
  readonly schema: Schema.Schema<A, I>
  readonly view: (report: A) => View
}

/** Writes a view to standard output. An empty one writes no line. */
export const print = (view: View): Effect.Effect<void, never, Terminal.Terminal> =>
  Effect.gen(function* () {
    const terminal = yield* Terminal.Terminal
    const columns = (yield* terminal.isTTY) ? yield* terminal.columns : undefined
    const text = view(columns)
    if (text === "") return
    yield* Console.log((yield* Color) ? withColor(text) : text)
    yield* emit({ _tag: "Reported", text })
  })

/** Answers with a report, in the requested form. */
export const answer =
  <A, I>({ schema, view }: Kind<A, I>) =>
  (report: A): Effect.Effect<void, never, Terminal.Terminal> =>
    Effect.flatMap(Answer, ({ keep }) =>
      keep === undefined ? print(view(report)) : Effect.flatMap(Effect.orDie(Schema.encode(schema)(report)), keep)
    )

/** Data was requested from a command that is a conversation. */
export class NotAsData extends Schema.TaggedError<NotAsData>()("NotAsData", {
  /** The command. */
  task: Schema.String,
  /** The alternative, one clause. */
  instead: Schema.String
}) {
  readonly exitStatus = 2
  override get message(): string {
    return `"${this.task}" is a conversation and has no JSON document: ${this.instead}`
  }
}

/** Refuses to begin a conversation if data was requested. */
export const conversation =
  (task: string, instead: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | NotAsData, R> =>
    Effect.if(isData, { onTrue: () => new NotAsData({ task, instead }), onFalse: () => self })
