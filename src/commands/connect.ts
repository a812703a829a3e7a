/**
 * From a target's key to a session on its host.
 */
import * as Effect from "effect/Effect"
import { connectTo } from "../deployment/onHost.ts"
import { findTarget } from "../workspace/Config.ts"
import { Workspace } from "../workspace/Workspace.ts"

/** Connects to the target with this key. The connection closes with the scope. */
export const connect = Effect.fnUntraced(function* (target: string) {
  const config = yield* (yield* Workspace).config
  return yield* connectTo(yield* findTarget(config, target))
})
