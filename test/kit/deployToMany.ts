/** A program that deploys the newest release to all given targets at once, and prints each outcome and its own peak of memory. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { Deployer, deploy, Prompt } from "../../src/index.ts"

const live = Prompt.yes.pipe(Layer.provideMerge(Deployer.layer()))

const all = Effect.forEach(process.argv.slice(2), (target) => Effect.either(deploy({ target, release: "1" })), {
  concurrency: "unbounded"
})

const results = await Effect.runPromise(Effect.provide(all, live))
console.log(
  JSON.stringify({
    outcomes: results.map(Either.match({ onLeft: ({ _tag }) => _tag, onRight: ({ plan }) => plan.outcome })),
    /** Bytes. */
    peak: process.resourceUsage().maxRSS * 1024
  })
)
