/** Many switches while somebody reads without a pause: the current release is always there, and always one whole release. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { flow } from "effect/Function"
import { makeSession } from "../../src/host/session.ts"
import { put } from "../host/contract.ts"
import { triesOf } from "../kit/exhaustive.ts"
import { local } from "../kit/hosts.ts"
import { type Mutations, mutant } from "../kit/mutant.ts"
import { sample } from "../kit/packed.ts"
import { whileReading } from "../kit/reader.ts"
import { titled } from "../kit/sshd.ts"

const [one, two] = [sample("1"), sample("2")]

/** Switches to and fro under a reader. */
const switches = (kind: (typeof local)[number], count: number, mutations: Mutations = {}) =>
  Effect.gen(function* () {
    const host = yield* kind.start
    const target = host.target()
    const whole = makeSession(target, yield* host.connect())
    const session = makeSession(target, mutant(yield* host.connect(), mutations))
    // Without a protection, a switch may also fail.
    const activate = Object.keys(mutations).length === 0 ? session.activate : flow(session.activate, Effect.ignore)
    yield* session.prepare
    yield* put(session, one)
    yield* put(session, two, 2)
    yield* whole.activate(one.ref)
    const releases = join(host.home, "app/releases")
    const seen = yield* whileReading(
      join(releases, "current"),
      Effect.gen(function* () {
        for (let turn = 0; turn < count / 2; turn++) {
          yield* activate(two.ref)
          yield* activate(one.ref)
        }
      })
    )
    return { seen, names: fs.readdirSync(releases) }
  })

describe("many switches under a reader", () => {
  for (const kind of local) {
    const live = kind.skip === undefined ? it.live : it.live.skip
    live(titled(`A reader always finds one whole release while current is switched (${kind.title}).`, kind.skip), () =>
      Effect.gen(function* () {
        const { names, seen } = yield* switches(kind, triesOf(500))
        assert.deepInclude(seen, { missing: 0, odd: [] })
        // The reader was not idle.
        assert.isAbove(seen.reads, 2000)
        assert.isAbove(seen.changes, 100)
        assert.sameMembers(names, ["current", `deployer_${one.ref}`, `deployer_${two.ref}`])
      }).pipe(Effect.scoped)
    )
  }
})

describe("without the protection the same reader notices", () => {
  const machine = local[0]!
  /** A test without the protection; its title is a whole sentence. */
  const shown = (title: string, piece: string, replacement: string, noticed: "missing" | "odd") =>
    it.live(title, () =>
      Effect.gen(function* () {
        const { seen } = yield* switches(machine, 20, { activate: [[piece, replacement]] })
        const { missing, odd, reads } = seen
        assert.isAbove(noticed === "missing" ? missing : odd.length, 0, `${reads} reads`)
      }).pipe(Effect.scoped)
    )
  shown(
    "The reader notices a link that is removed and made again.",
    'mv -fT "$2" current',
    'rm -f "$2" current && ln -s "$1" current',
    "missing"
  )
  shown(
    "The reader notices a release that is copied over the previous one.",
    'mv -fT "$2" current',
    'rm -f "$2"; cp "$1/my_app/version" current/my_app/; sleep 0.05; cp "$1/my_app/big" current/my_app/; false',
    "odd"
  )
})
