/**
 * From the command line to the user's output: the program around the command tree, the messages of failures, the exit status.
 */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Cause from "effect/Cause"
import type * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Argv from "../Argv.ts"
import { plain } from "../internal/color.ts"
import type { TaskSpec } from "../Spec.ts"
import { Failure, failureOf, isQuit, Status, sentenceOf, statusOf } from "../terminal/Failure.ts"
import { Answer, Color } from "../terminal/Form.ts"
import { helpPage } from "./helpPage.ts"

const name = "deployer"

/** One sentence for any value that the program failed with. */
export const sentence = (error: unknown): string =>
  ValidationError.isValidationError(error) ? plain(HelpDoc.toAnsiText(error.error)).trim() : sentenceOf(error)

/**
 * The process's exit status. The first expected failure decides, then a defect (70), then interruption (130). The
 * number of a signal that ended the program makes it 128 + that number: 129 SIGHUP, 130 SIGINT, 143 SIGTERM.
 */
export const exitStatus = (exit: Exit.Exit<unknown, unknown>, signal?: number): number => {
  if (exit._tag === "Success") return Status.done
  if (signal !== undefined) return 128 + signal
  return Option.match(Cause.failureOption(exit.cause), {
    onSome: (error) => (ValidationError.isValidationError(error) ? Status.usage : statusOf(error)),
    onNone: () => (Cause.isDie(exit.cause) ? Status.bug : Status.interrupted)
  })
}

/** Whether only the exit status of the failure is reported. */
const isSilent = (error: unknown): boolean => Predicate.hasProperty(error, "isSilent") && error.isSilent === true

/** The lines for stderr: a sentence for an expected failure, a report for a bug. */
export const report = (cause: Cause.Cause<unknown>): ReadonlyArray<string> => {
  const bug = Option.match(Cause.keepDefects(cause), {
    onNone: () => [],
    onSome: (defects) => [
      `${name}: this is a bug, in ${name} or in a builder or hook of your config:`,
      ...Cause.pretty(defects, { renderErrorCause: true }).split("\n"),
      `If it is not your builder's or hook's, please report it to the maintainers of ${name}, with these lines and the version`
    ]
  })
  const failure = Cause.failureOption(cause)
  if (Option.isSome(failure)) {
    if (isSilent(failure.value)) return bug
    return [
      ...(isQuit(failure.value) ? [`${name}: interrupted`] : `${name}: ${sentence(failure.value)}`.split("\n")),
      ...bug
    ]
  }
  return bug.length > 0 ? bug : [`${name}: interrupted`]
}

/** A failure as the only document on stdout if data was requested. `report`: the report from before the failure. */
export const failure = (
  cause: Cause.Cause<unknown>,
  { report, status }: { readonly status: number; readonly report?: unknown }
): Failure => {
  const rest = { exitStatus: status, ...(report === undefined ? {} : { report }) }
  const expected = Cause.failureOption(cause)
  if (Option.isSome(expected) && ValidationError.isValidationError(expected.value)) {
    return Failure.make({ message: sentence(expected.value), error: { _tag: "UsageError" }, ...rest })
  }
  if (Option.isSome(expected) && !isQuit(expected.value)) return failureOf(expected.value, rest)
  const defects = Option.isNone(expected) ? Cause.keepDefects(cause) : Option.none()
  return Option.match(defects, {
    onNone: () => Failure.make({ message: "interrupted", error: { _tag: "Interrupted" }, ...rest }),
    onSome: (defects) =>
      Failure.make({
        message: `this is a bug: ${sentence(Cause.squash(defects))}`,
        error: { _tag: "Bug", details: Cause.pretty(defects, { renderErrorCause: true }) },
        ...rest
      })
  })
}

const encodeFailure = Schema.encodeSync(Failure)

/** A document in its written form: one line of JSON. */
export const document = (content: unknown): string =>
  JSON.stringify(content instanceof Failure ? encodeFailure(content) : content)

/** The real end of a process, which its program cannot know. */
export interface Ending {
  /** The exit to report instead of the program's own. */
  readonly exit: (exit: Exit.Exit<unknown, unknown>) => Exit.Exit<unknown, unknown>
  /** The number of the signal that ended it. */
  readonly signal: () => number | undefined
}

/** The environment of a run. */
export interface Options {
  readonly version: string
  /** Whether the text on stdout may have colours. */
  readonly color: boolean
  /** The width of the terminal for help. Undefined if there is none. */
  readonly columns?: number | undefined
  /** The targets of the project, as far as they are known without its config. */
  readonly targets?: () => ReadonlyArray<string>
  /** Default: the program's own end. */
  readonly ending?: Ending
}

/** The command tree, and its description for `Argv`. */
export interface Tree<Name extends string, R, E, A> {
  readonly command: Command.Command<Name, R, E, A>
  readonly spec: TaskSpec
}

/** Holds back the last answer of a program. Writes it after the program ends, or a failure in its place. */
const withDocument =
  ({ log }: Console.Console, { ending }: Options) =>
  <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Ref.make<unknown>(undefined), (last) =>
      program.pipe(
        Effect.provideService(Answer, { keep: (content) => Ref.set(last, content) }),
        Effect.onExit((own) =>
          Effect.flatMap(Ref.get(last), (content) => {
            const exit = (ending?.exit ?? identity)(own)
            const status = exitStatus(exit, ending?.signal())
            return exit._tag === "Failure"
              ? log(document(failure(exit.cause, { status, report: content })))
              : // Help, versions and completions are for people and shells, and are already written.
                content === undefined
                ? Effect.void
                : log(document(content))
          })
        )
      )
    )

// The parser prints each usage error and also fails with it. Only the failure is reported.
const parserConsole = (base: Console.Console): Console.Console => ({ ...base, error: () => Effect.void })

/** Runs a command tree on the arguments after the program's name. Log lines go to stderr: stdout is for results. */
export const run =
  <Name extends string, R, E, A>({ command, spec }: Tree<Name, R, E, A>, options: Options) =>
  (argv: ReadonlyArray<string>) =>
    Effect.consoleWith((base) => {
      const isAsked = Argv.isData(spec)(argv)
      // No other output belongs beside the document.
      const handlers = isAsked ? { ...base, log: base.error, info: base.error, debug: base.error } : base
      return Effect.flatMap(Argv.normalize(spec, options.targets)(argv), (tokens) => {
        const [first, ...others] = tokens
        if (first === "--help") return base.log(helpPage(spec, others, options)?.trimEnd() ?? "")
        if (first === "--version") return base.log(options.version)
        const quiet = Command.transformHandler(command, (handler) => Effect.withConsole(handler, handlers))
        return Command.run(quiet, { name, version: options.version })([name, name, ...tokens]).pipe(
          Effect.withConsole(parserConsole(base))
        )
      }).pipe(isAsked ? withDocument(base, options) : identity)
    }).pipe(
      Effect.provideService(Color, options.color),
      Effect.provide(CliConfig.layer({ isCaseSensitive: true, showBuiltIns: false })),
      Effect.provide(Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger)))
    )
