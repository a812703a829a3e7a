/**
 * Hosts whose scripts lack a protection: for tests that show that a check notices.
 */

import * as scripts from "../../src/host/scripts.ts"
import type { Transport } from "../../src/host/Transport.ts"

/** By the script's name: pieces of its text, each with what stands in its place. */
export type Mutations = Readonly<
  Partial<Record<keyof typeof scripts, ReadonlyArray<readonly [piece: string, replacement: string]>>>
>

/** Sends changed scripts; throws where a piece is not in its script any more, since then the test would show nothing. */
export const mutant = (transport: Transport, mutations: Mutations): Transport => {
  const changed = new Map(
    Object.entries(mutations).map(([name, changes]) => {
      const script = Object.entries(scripts).find(([key]) => key === name)?.[1] ?? ""
      const text = changes.reduce((before, [piece, replacement]) => {
        if (!before.includes(piece)) throw new Error(`the script ${name} has no "${piece}" any more`)
        return before.replaceAll(piece, () => replacement)
      }, script)
      return [script, text]
    })
  )
  return {
    ...transport,
    exec: (exec) => transport.exec({ ...exec, script: changed.get(exec.script) ?? exec.script })
  }
}
