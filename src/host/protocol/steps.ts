/** Every step of the protocol. */
import * as Reply from "./reply.ts"
import { type Step, type StepName, step } from "./Step.ts"
import * as scripts from "./scripts.generated.ts"

/** By the name of the script. */
export const steps = {
  activate: step(scripts.activate, Reply.fitness),
  adopt: step(scripts.adopt, Reply.done),
  alterations: step(scripts.alterations, Reply.alterations),
  arm: step(scripts.arm, Reply.arming),
  clear: step(scripts.clear, Reply.left),
  compact: step(scripts.compact, Reply.chronicle),
  confirm: step(scripts.confirm, Reply.confirmation),
  deactivate: step(scripts.deactivate, Reply.fitness),
  discard: step(scripts.discard, Reply.done),
  history: step(scripts.history, Reply.history),
  inspect: step(scripts.inspect, (stdout, { between }) => Reply.state(stdout, between)),
  lock: step(scripts.lock, (stdout, { between }) => Reply.locking(stdout, between)),
  manifest: step(scripts.manifest, Reply.manifest),
  note: step(scripts.note, Reply.done),
  prepare: step(scripts.prepare, Reply.fitness),
  record: step(scripts.record, Reply.done),
  remove: step(scripts.remove, Reply.done),
  run: step(scripts.run, Reply.done),
  stage: step(scripts.stage, Reply.corruption),
  survey: step(scripts.survey, Reply.survey),
  unlock: step(scripts.unlock, Reply.unlocking),
  usage: step(scripts.usage, (stdout, { refs }) => Reply.usages(refs)(stdout)),
  verify: step(scripts.verify, (stdout, { refs }) => Reply.verdicts(refs)(stdout))
} satisfies { readonly [Name in StepName]: Step<(typeof scripts)[Name], unknown> }
