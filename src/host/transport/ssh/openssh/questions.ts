/**
 * The questions of the system's `ssh`: host keys, passphrases, PINs, and keys that wait for a touch.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { type ListenFailed, listen, type Question } from "../../../../internal/questionSocket.ts"
import { Prompt, type PromptFailure } from "../../../../terminal/Prompt.ts"
import { warn } from "../../../../terminal/Reporter.ts"

/** The questions of one login. */
export interface Questions {
  /** The program for `SSH_ASKPASS`. */
  readonly program: string
  /** Whether the user has a question to answer. */
  readonly isAsking: () => boolean
  /** The reason why the last question got no answer. */
  readonly failure: () => PromptFailure | undefined
}

/** Puts the questions to the user, one after another, until the scope ends. */
export const askUser = (folder: string): Effect.Effect<Questions, ListenFailed, Prompt | Scope.Scope> =>
  Effect.gen(function* () {
    const prompt = yield* Prompt
    const queue = yield* Queue.unbounded<Question>()
    let isAsking = false
    let failure: PromptFailure | undefined
    const program = yield* listen(folder, (question) => Queue.unsafeOffer(queue, question))
    const confirm = (message: string) =>
      Effect.map(prompt.confirm({ message, initial: false, safe: false }), (yes) => (yes ? "yes" : "no"))
    const answer = ({ text }: Question) => {
      const key = hostKeyIn(text)
      if (key !== undefined)
        return Effect.catchTag(
          confirm(`The key of ${key.host} is not known: ${key.type} ${key.fingerprint}. Trust it from now on?`),
          "PromptUnavailable",
          () => Effect.succeed("no")
        )
      if (/\(yes\/no/.test(text)) return confirm(oneLine(text))
      // A key that waits for a touch needs no answer.
      if (/user presence/i.test(text)) return Effect.as(warn(oneLine(text)), "")
      const hint = "unlock the key beforehand with ssh-add, so that ssh-agent answers for it"
      return Effect.map(prompt.secret({ message: oneLine(text).replace(/:\s*$/, ""), hint }), Redacted.value)
    }
    const next = Effect.gen(function* () {
      const question = yield* Queue.take(queue)
      isAsking = true
      const given = yield* Effect.catchAll(answer(question), (error) =>
        Effect.sync((): undefined => {
          failure = error
        })
      )
      isAsking = false
      question.answer(given)
    })
    yield* Effect.forkScoped(Effect.forever(next))
    return { program, isAsking: () => isAsking, failure: () => failure }
  })

const oneLine = (words: string): string => words.replaceAll(/[\s\p{C}]+/gu, " ").trim()

/** The host key that a question is about. The host may be a jump host. */
const hostKeyIn = (question: string) => {
  const [, type, fingerprint] = /(\S+) key fingerprint is (SHA256:\S+?)\.?\s/.exec(question) ?? []
  const [, host] = /authenticity of host '([^'\s]+)/.exec(question) ?? []
  return type === undefined || fingerprint === undefined || host === undefined ? undefined : { type, fingerprint, host }
}
