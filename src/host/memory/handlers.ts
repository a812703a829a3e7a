/** The answer of a host in memory to each step of the protocol. */

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { StepName } from "../protocol/Step.ts"
import { adopt, survey } from "./adopting.ts"
import { alterations, manifest, verify } from "./checking.ts"
import { journalLines, prepare, see, usage } from "./inspecting.ts"
import { lock, lockLine, topLock, unlock } from "./locking.ts"
import { type Handler, type Place, plain, reply, within } from "./Place.ts"
import { run } from "./running.ts"
import { discard, stage } from "./staging.ts"
import { activate, arm, confirm, deactivate, noteLive, record, remove } from "./switching.ts"

const inspect = (question: Place): ReadonlyArray<string> => {
  const top = topLock(question)
  return [...(top.state === "free" ? [] : [lockLine(top)]), ...see(question)]
}

/** Answers each step. */
export const handlers: { readonly [Name in StepName]: Handler<Name> } = {
  lock,
  unlock: plain(unlock),
  inspect: plain(inspect),
  compact: plain((question) => journalLines(question)),
  history: plain((question) => journalLines(question, Number(question.args.count))),
  prepare: plain(prepare),
  stage: (question, exec, { lost }) =>
    Effect.flatMap(stage(question, exec.stdin ?? Stream.empty, lost), (lines) => reply(exec, lines)),
  manifest: within(manifest),
  record: within(record),
  alterations: within(alterations),
  activate: within(activate),
  deactivate: within(deactivate),
  arm,
  confirm: plain(confirm),
  survey: within(survey),
  adopt: within(adopt),
  remove: within(remove),
  // A host in memory has one user.
  clear: within(() => []),
  discard: within(discard),
  verify: within(verify),
  usage: within(usage),
  note: plain(noteLive),
  run
}
