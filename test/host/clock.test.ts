/** Hosts whose clock is wrong, or is set while somebody holds a lock. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { LockDetails } from "../../src/domain/Lock.ts"
import type { HostSession } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import { onThisMachine } from "../kit/hosts.ts"
import { type Mutations, mutant } from "../kit/mutant.ts"
import { sample } from "../kit/packed.ts"
import * as userland from "../kit/userland.ts"
import { put } from "./contract.ts"

const day = 86_400

const details = (by: string) =>
  LockDetails.make({
    by,
    reason: "test",
    since: DateTime.unsafeMake("2026-01-02T03:04:05Z"),
    nonce: by,
    held: false
  })

/** As if nothing told the time since the start, as on a BSD. */
const bsd: Mutations = {
  lock: [["/proc/uptime", "/nowhere"]],
  inspect: [["/proc/uptime", "/nowhere"]]
}

/** A host whose clock can be set. */
const skewed = (mutations: Mutations) =>
  Effect.gen(function* () {
    const tools = yield* userland.own({ without: ["date"] })
    const skew = join(tools, "skew")
    fs.writeFileSync(
      join(tools, "date"),
      `#!/bin/sh\necho $(($(${userland.which("date")} +%s) + $(${userland.which("cat")} ${skew})))\n`,
      { mode: 0o755 }
    )
    const set = (seconds: number) => fs.writeFileSync(skew, String(seconds))
    set(0)
    const host = yield* onThisMachine(Effect.succeed(tools))
    const target = host.target()
    const session = Effect.map(host.connect(), (transport) => makeSession(target, mutant(transport, mutations)))
    const config = join(host.home, "app/config")
    /** Makes the holder's last sign of life so old. */
    const age = (token: number, seconds: number) => {
      const file = join(config, `beat.${token}`)
      const [beat, up, boot] = fs.readFileSync(file, "utf8").trim().split(" ")
      fs.writeFileSync(file, [Number(beat) - seconds, Number(up) - seconds, boot, ""].join(" "))
    }
    return { set, session, age, config }
  })

/** The answer of `lock` to a request now; the lock is given back at once. */
const attempt = (session: HostSession) =>
  Effect.match(Effect.scoped(session.lock(details("other"))), {
    onFailure: ({ _tag }) => _tag,
    onSuccess: () => "taken"
  })

describe("a clock that is wrong", () => {
  for (const [what, skew] of [
    ["ahead", day],
    ["behind", -day]
  ] as const) {
    it.live(`A host clock that is a day ${what} makes no difference to locks.`, () =>
      Effect.gen(function* () {
        const { age, session, set } = yield* skewed({})
        set(skew)
        const [mine, other] = [yield* session, yield* session]
        const one = sample("1")
        yield* mine.prepare
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* mine.lock(details("holder"))
            assert.strictEqual(yield* attempt(other), "LockHeld")
            assert.isBelow((yield* other.inspect).lock?.idleSeconds ?? 99, 30)
            yield* put(mine, one)
            yield* mine.activate(one.ref)
            age(1, 61)
            assert.strictEqual(yield* attempt(other), "taken")
            assert.strictEqual((yield* Effect.flip(mine.activate(one.ref)))._tag, "LockLost")
          })
        )
      }).pipe(Effect.scoped)
    )
  }
})

describe("a clock that is set while a lock is held", () => {
  for (const [what, skew] of [
    ["forward", day],
    ["back", -day]
  ] as const) {
    it.live(`If the clock is set a day ${what}, a living holder keeps its lock and a dead one loses it.`, () =>
      Effect.gen(function* () {
        const { age, session, set } = yield* skewed({})
        const [mine, other] = [yield* session, yield* session]
        const one = sample("1")
        yield* mine.prepare
        yield* put(mine, one)
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* mine.lock(details("holder"))
            set(skew)
            assert.strictEqual(yield* attempt(other), "LockHeld")
            assert.isBelow((yield* other.inspect).lock?.idleSeconds ?? 99, 30)
            yield* mine.activate(one.ref)
            // It is as if it had died a minute before.
            age(1, 61)
            assert.strictEqual(yield* attempt(other), "taken")
          })
        )
      }).pipe(Effect.scoped)
    )
  }

  it.live("A restarted host judges an older lock by the clock, not by the time since its start.", () =>
    Effect.gen(function* () {
      const { config, session } = yield* skewed({})
      const mine = yield* session
      yield* mine.prepare
      fs.writeFileSync(join(config, "lock.3"), "taken {}\n")
      const now = Math.floor(Date.now() / 1000)
      fs.writeFileSync(join(config, "beat.3"), `${now - 5} 1 another-start\n`)
      assert.strictEqual(yield* attempt(mine), "LockHeld")
      fs.writeFileSync(join(config, "beat.3"), `${now - 61} 99999999 another-start\n`)
      assert.strictEqual(yield* attempt(mine), "taken")
    }).pipe(Effect.scoped)
  )
})

describe("if only the clock tells the time", () => {
  it.live("If the only clock jumps back a day, a dead holder's lock is taken over after a minute.", () =>
    Effect.gen(function* () {
      const { age, session, set } = yield* skewed(bsd)
      const [mine, other] = [yield* session, yield* session]
      yield* mine.prepare
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* mine.lock(details("holder"))
          set(-day)
          assert.strictEqual(yield* attempt(other), "LockHeld")
          age(1, 50)
          assert.strictEqual(yield* attempt(other), "LockHeld")
          age(1, 20)
          assert.strictEqual(yield* attempt(other), "taken")
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("If the only clock jumps a day ahead, a lock may change hands, but its old holder can change nothing.", () =>
    Effect.gen(function* () {
      const { session, set } = yield* skewed(bsd)
      const [mine, other] = [yield* session, yield* session]
      const [one, two] = [sample("1"), sample("2")]
      yield* mine.prepare
      yield* put(mine, one)
      yield* put(mine, two, 2)
      yield* mine.activate(one.ref)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* mine.lock(details("holder"))
          set(day)
          assert.strictEqual(yield* attempt(other), "taken")
          assert.strictEqual((yield* Effect.flip(mine.activate(two.ref)))._tag, "LockLost")
        })
      )
      assert.deepInclude((yield* other.inspect).current, { ref: one.ref })
    }).pipe(Effect.scoped)
  )
})

describe("without the protection", () => {
  it.live("Without the time since the start, a live lock is lost when the clock is set forward.", () =>
    Effect.gen(function* () {
      const { session, set } = yield* skewed(bsd)
      const [mine, other] = [yield* session, yield* session]
      yield* mine.prepare
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* mine.lock(details("holder"))
          set(day)
          assert.strictEqual(yield* attempt(other), "taken")
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("Without the check for signs of life from the future, a dead lock stays when the clock is set back.", () =>
    Effect.gen(function* () {
      const { age, session, set } = yield* skewed({
        ...bsd,
        lock: [...(bsd.lock ?? []), ['[ "$since" -lt 0 ]', "false"]]
      })
      const [mine, other] = [yield* session, yield* session]
      yield* mine.prepare
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* mine.lock(details("holder"))
          set(-day)
          for (const seconds of [0, 61, 3600]) {
            age(1, seconds)
            assert.strictEqual(yield* attempt(other), "LockHeld")
          }
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("Without the fence, a deployer that lost its lock still switches.", () =>
    Effect.gen(function* () {
      const { age, session } = yield* skewed({
        activate: [
          ['[ "$token" -eq "$fence" ] && [ "$state" = taken ] && return 0', "return 0"],
          ['[ "$fence" -eq 0 ] ||', "true ||"]
        ]
      })
      const [mine, other] = [yield* session, yield* session]
      const one = sample("1")
      yield* mine.prepare
      yield* put(mine, one)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* mine.lock(details("holder"))
          age(1, 61)
          yield* Effect.scoped(Effect.zipRight(other.lock(details("other")), mine.activate(one.ref)))
        })
      )
      assert.deepInclude((yield* other.inspect).current, { ref: one.ref })
    }).pipe(Effect.scoped)
  )
})
