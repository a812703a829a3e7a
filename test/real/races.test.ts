/** Two who want the same lock at the same moment: one of them gets it, each time. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { LockDetails } from "../../src/domain/Lock.ts"
import type { HostSession } from "../../src/host/RemoteHost.ts"
import { makeSession } from "../../src/host/session.ts"
import { type Kind, local, type RealHost, ssh } from "../kit/hosts.ts"
import { type Mutations, mutant } from "../kit/mutant.ts"
import { titled } from "../kit/sshd.ts"

const details = (nonce: string) =>
  LockDetails.make({
    by: `${nonce}@laptop`,
    reason: "race",
    since: DateTime.unsafeMake("2026-01-02T03:04:05Z"),
    nonce,
    held: false
  })

/** The lock with the highest token, as it lies on the disk. */
const top = (host: RealHost) => {
  const config = join(host.home, "app/config")
  const tokens = fs.readdirSync(config).flatMap((name) => /^lock\.([0-9]+)$/.exec(name)?.[1] ?? [])
  const token = Math.max(0, ...tokens.map(Number))
  return { token, line: token === 0 ? "free " : fs.readFileSync(join(config, `lock.${token}`), "utf8") }
}

/** Leaves the lock of somebody who died long ago. */
const leaveDeadLock = (host: RealHost) => {
  const token = top(host).token + 1
  fs.writeFileSync(join(host.home, `app/config/beat.${token}`), "1000\n")
  fs.writeFileSync(join(host.home, `app/config/lock.${token}`), `taken {"by":"the dead"}\n`)
}

/** How many of the takers got the lock; the others were told who has it. */
const race = (takers: ReadonlyArray<HostSession>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const exits = yield* Effect.forEach(takers, (taker, n) => Effect.either(taker.lock(details(`n-${n}`))), {
        concurrency: "unbounded"
      })
      const winner = exits.findIndex(Either.isRight)
      for (const exit of exits) {
        if (Either.isRight(exit)) continue
        assert.strictEqual(exit.left._tag, "LockHeld", exit.left.message)
        // Without hard links, a lock names its holder a moment after it was taken.
        assert.match(exit.left.message, new RegExp(`n-${winner}@laptop|somebody unknown`))
      }
      return exits.filter(Either.isRight).length
    })
  )

/** Races until `enough` returns true, at most `most` times; returns the number of winners of each race. */
const races = (host: RealHost, most: number, mutations: Mutations, enough: (winners: number) => boolean) =>
  Effect.gen(function* () {
    const target = host.target()
    const takers = yield* Effect.forEach(
      [0, 1],
      () => Effect.map(host.connect(target), (transport) => makeSession(target, mutant(transport, mutations))),
      { concurrency: 2 }
    )
    for (const taker of takers) yield* taker.prepare
    const winners: Array<number> = []
    while (winners.length < most) {
      // A busy machine may take a while to give the last lock back.
      for (let wait = 0; !top(host).line.startsWith("free ") && wait < 400; wait++) yield* Effect.sleep("25 millis")
      // Every fifth time both find the lock of a dead holder instead of a free one.
      if (winners.length % 5 === 4) leaveDeadLock(host)
      winners.push(yield* race(takers))
      if (enough(winners.at(-1) ?? 0)) break
    }
    return winners
  })

const suite = (kinds: ReadonlyArray<Kind>, body: (kind: Kind, live: typeof it.live.skip) => void) => {
  for (const kind of kinds) body(kind, kind.skip === undefined ? it.live : it.live.skip)
}

describe("300 races of two", () => {
  const each = (kinds: ReadonlyArray<Kind>, count: number) =>
    suite(kinds, ({ skip, start, title }, live) =>
      live(titled(`Each of ${count} races for the lock has one winner (${title}).`, skip), () =>
        Effect.gen(function* () {
          const host = yield* start
          const winners = yield* races(host, count, {}, () => false)
          assert.deepStrictEqual(
            winners,
            Array.from({ length: count }, () => 1)
          )
          assert.match(top(host).line, /^free /)
        }).pipe(Effect.scoped)
      )
    )
  each(local, 100)
  each(ssh, 50)

  it.live("Each of 50 races for the lock has one winner on a file system without hard links.", () =>
    Effect.gen(function* () {
      const host = yield* local[0]!.start
      const noLinks = { lock: [['ln "$new" "$base/config/lock.$mine"', "false"]] } as const
      const winners = yield* races(host, 50, noLinks, (count) => count !== 1)
      assert.deepStrictEqual(new Set(winners), new Set([1]))
    }).pipe(Effect.scoped)
  )
})

describe("without the protection two win", () => {
  /** A test without the protection; its title is a whole sentence. */
  const shown = (title: string, mutations: Mutations) =>
    it.live(title, () =>
      Effect.gen(function* () {
        const host = yield* local[0]!.start
        const winners = yield* races(host, 300, mutations, (count) => count > 1)
        assert.strictEqual(winners.at(-1), 2, `${winners.length} races`)
      }).pipe(Effect.scoped)
    )
  shown("Two sessions win the lock if its file is made by renaming instead of link(2).", {
    lock: [['ln "$new" "$base/config/lock.$mine"', 'mv -f "$new" "$base/config/lock.$mine"']]
  })
  shown("Two sessions win the lock if its file is looked for, and then written.", {
    lock: [
      [
        'ln "$new" "$base/config/lock.$mine"',
        '{ [ ! -e "$base/config/lock.$mine" ] && sleep 0.01 && cp "$new" "$base/config/lock.$mine"; }'
      ]
    ]
  })
})
