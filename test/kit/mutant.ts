/**
 * Hosts whose scripts lack a protection: for tests that show that a check notices.
 */

import type { StepName } from "../../src/host/protocol/Step.ts"
import * as scripts from "../../src/host/protocol/scripts.generated.ts"
import type { Transport } from "../../src/host/transport/Transport.ts"

/** By the script's name: pieces of its text, each with its replacement. */
export type Mutations = Readonly<
  Partial<Record<StepName, ReadonlyArray<readonly [piece: string, replacement: string]>>>
>

/** Sends changed scripts; throws if a piece is not in its script any more, since then the test would show nothing. */
export const mutant = (transport: Transport, mutations: Mutations): Transport => {
  const changed = new Map(
    Object.values(scripts).flatMap((script) => {
      const changes = mutations[script.name]
      if (changes === undefined) return []
      const text = changes.reduce<string>((before, [piece, replacement]) => {
        if (!before.includes(piece)) throw new Error(`the script ${script.name} has no "${piece}" any more`)
        return before.replaceAll(piece, () => replacement)
      }, script.text)
      return [[script.name, text] as const]
    })
  )
  return {
    ...transport,
    exec: (exec) => transport.exec({ ...exec, script: (exec.step && changed.get(exec.step)) ?? exec.script })
  }
}
