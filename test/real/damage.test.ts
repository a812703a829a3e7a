/** Bytes that change out of SSH's sight: between us and it, and on the host. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Stream from "effect/Stream"
import { makeSession } from "../../src/host/session.ts"
import type { Transport } from "../../src/host/transport/Transport.ts"
import { put, stage } from "../host/contract.ts"
import { triesOf } from "../kit/exhaustive.ts"
import { local } from "../kit/hosts.ts"
import { type Mutations, mutant } from "../kit/mutant.ts"
import { oddSample, sample } from "../kit/packed.ts"
import { titled } from "../kit/sshd.ts"
import { treeIn, treeOf } from "../kit/tree.ts"

const [one, two, odd] = [sample("1"), sample("2"), oddSample()]

/** A kind of damage to bytes. `at` is its place, as a part of the whole. */
interface Damage {
  readonly kind: "flip" | "cut" | "lost" | "more"
  readonly at: number
  readonly bit: number
}

const damage: FastCheck.Arbitrary<Damage> = FastCheck.record({
  kind: FastCheck.constantFrom("flip", "flip", "flip", "cut", "lost", "more"),
  at: FastCheck.double({ min: 0, max: 0.999999, noNaN: true }),
  bit: FastCheck.nat(7)
})

const damaged = (bytes: Uint8Array, { at, bit, kind }: Damage): Uint8Array => {
  const offset = Math.floor(at * bytes.length)
  const copy = Buffer.from(bytes)
  switch (kind) {
    case "flip":
      copy[offset] = (copy[offset] ?? 0) ^ (1 << bit)
      return copy
    case "cut":
      return copy.subarray(0, offset)
    case "lost":
      return Buffer.concat([copy.subarray(0, offset), copy.subarray(offset + 1)])
    case "more":
      return Buffer.concat([copy, copy.subarray(0, 1 + offset)])
  }
}

/** Tries so many; a failure shows the seed and the case. */
const forEachDamage = <E>(numRuns: number, body: (damage: Damage) => Effect.Effect<unknown, E>) =>
  Effect.promise(() =>
    FastCheck.assert(
      FastCheck.asyncProperty(damage, (each) => Effect.runPromise(body(each)).then(() => {})),
      { numRuns: triesOf(numRuns), endOnFailure: true }
    )
  )

/** A host on which the first release is current. */
const deployed = (kind: (typeof local)[number], mutations: Mutations = {}) =>
  Effect.gen(function* () {
    const host = yield* kind.start
    const target = host.target()
    const transport = yield* host.connect()
    const session = makeSession(target, transport)
    yield* session.prepare
    yield* put(session, one)
    yield* session.activate(one.ref)
    const releases = join(host.home, "app/releases")
    const untouched = () => {
      assert.deepStrictEqual(fs.readdirSync(releases).sort(), ["current", `deployer_${one.ref}`])
      assert.strictEqual(fs.readlinkSync(join(releases, "current")), `deployer_${one.ref}`)
      const { ".deployer_manifest": _, ".deployer_release.json": __, ...tree } = treeIn(join(releases, "current/"))
      assert.deepStrictEqual(tree, treeOf(one.tree))
    }
    const through = (change: (transport: Transport) => Transport) => makeSession(target, change(transport))
    return { releases, session, through, untouched, mutated: through((real) => mutant(real, mutations)) }
  })

for (const kind of local) {
  const live = kind.skip === undefined ? it.live : it.live.skip
  describe(titled(kind.title, kind.skip), () => {
    live("Damage on the way to the host never changes the files of a release that is accepted.", () =>
      Effect.gen(function* () {
        const { releases, session, through, untouched } = yield* deployed(kind)
        yield* forEachDamage(60, (each) =>
          Effect.gen(function* () {
            const noisy = through((transport) => ({
              ...transport,
              exec: (exec) => {
                if (exec.stdin === undefined) return transport.exec(exec)
                const whole = Stream.runFold(exec.stdin, Buffer.alloc(0), (all, chunk) => Buffer.concat([all, chunk]))
                return transport.exec({
                  ...exec,
                  stdin: Stream.mapEffect(Stream.make(0), () => Effect.map(whole, (all) => damaged(all, each)))
                })
              }
            }))
            const ended = yield* Effect.either(stage(noisy, odd))
            const folder = join(releases, `deployer_${odd.ref}`)
            if (Either.isRight(ended)) {
              // Some bytes of the format mean nothing: the bytes around them are proved whole.
              const [verdict] = yield* session.verify([odd.ref])
              assert.deepStrictEqual(verdict?.faults, ["missing .deployer_release.json"])
              fs.rmSync(folder, { recursive: true })
              return
            }
            assert.oneOf(ended.left._tag, ["ReleaseCorrupt", "HostStepFailed"])
            assert.isFalse(fs.existsSync(folder))
            fs.rmSync(join(releases, `.staging_${odd.ref}`), { recursive: true, force: true })
            untouched()
          })
        )
        yield* put(session, odd, 2)
        yield* session.activate(odd.ref)
      }).pipe(Effect.scoped)
    )

    live("Verification never accepts a manifest that was damaged on the host.", () =>
      Effect.gen(function* () {
        const { releases, session } = yield* deployed(kind)
        yield* put(session, odd, 2)
        const file = join(releases, `deployer_${odd.ref}/.deployer_manifest`)
        const whole = fs.readFileSync(file)
        yield* forEachDamage(60, (each) =>
          Effect.gen(function* () {
            fs.writeFileSync(file, damaged(whole, each))
            const [verdict] = yield* session.verify([odd.ref])
            assert.isAbove(verdict?.faults.length ?? 0, 0)
          })
        )
        fs.writeFileSync(file, whole)
        assert.deepStrictEqual(yield* session.verify([odd.ref]), [{ ref: odd.ref, faults: [] }])
      }).pipe(Effect.scoped)
    )

    live("Verification names a file that was damaged on the host.", () =>
      Effect.gen(function* () {
        const { releases, session } = yield* deployed(kind)
        const file = join(releases, `deployer_${one.ref}/my_app/big`)
        const whole = fs.readFileSync(file)
        yield* forEachDamage(15, (each) =>
          Effect.gen(function* () {
            fs.writeFileSync(file, damaged(whole, each))
            assert.deepStrictEqual(yield* session.verify([one.ref]), [{ ref: one.ref, faults: ["changed my_app/big"] }])
          })
        )
      }).pipe(Effect.scoped)
    )
  })
}

/** The kinds of harm to a release, and to its manifest. */
const harms: Readonly<Record<string, (folder: string) => void>> = {
  "as it was": () => {},
  "without a file": (folder) => fs.rmSync(join(folder, "my_app/version")),
  "with another file": (folder) => fs.writeFileSync(join(folder, "my_app/version"), "other"),
  "with a file in place of a folder": (folder) => {
    fs.rmSync(join(folder, "my_app/bin"), { recursive: true })
    fs.writeFileSync(join(folder, "my_app/bin"), "")
  },
  "with a folder in place of a file": (folder) => {
    fs.rmSync(join(folder, "my_app/version"))
    fs.mkdirSync(join(folder, "my_app/version"))
  },
  "with a link to elsewhere": (folder) => {
    fs.rmSync(join(folder, "my_app/latest"))
    fs.symlinkSync("elsewhere", join(folder, "my_app/latest"))
  },
  "with a file in place of a link": (folder) => {
    fs.rmSync(join(folder, "my_app/latest"))
    fs.writeFileSync(join(folder, "my_app/latest"), "")
  },
  "with a file that nobody knows": (folder) => fs.writeFileSync(join(folder, "my_app/log\nof something"), ""),
  "with a manifest that lost a line": (folder) =>
    edit(folder, (text) => text.replace(/^.* \.\/my_app\/version\n/m, "")),
  "with a manifest that was cut": (folder) => edit(folder, (text) => text.slice(0, text.length / 2)),
  "with a manifest without its last line break": (folder) => edit(folder, (text) => text.slice(0, -1)),
  "with something after the end of its manifest": (folder) => edit(folder, (text) => `${text}mode 644\n`),
  "with garbage in its manifest": (folder) => edit(folder, (text) => `garbage\n${text}`),
  "with a manifest in which a folder has the name of a file": (folder) =>
    edit(folder, (text) => text.replace("dir ./my_app/bin\n", "dir ./my_app/version\n")),
  "with a manifest in which a link has the name of a file": (folder) =>
    edit(folder, (text) => text.replace("link ./my_app/latest\n", "link ./my_app/version\n")),
  "with a folder whose name hides that a file is missing": (folder) => {
    fs.rmSync(join(folder, "my_app/version"))
    fs.mkdirSync(join(folder, "x\n./my_app"), { recursive: true })
    fs.writeFileSync(join(folder, "x\n./my_app/version"), "")
  },
  "with an empty manifest": (folder) => edit(folder, () => "")
}

const edit = (folder: string, change: (text: string) => string) => {
  const file = join(folder, ".deployer_manifest")
  fs.writeFileSync(file, change(fs.readFileSync(file, "utf8")))
}

for (const kind of local) {
  const live = kind.skip === undefined ? it.live : it.live.skip
  live(titled(`Verification finds the same faults with awk and without it (${kind.title}).`, kind.skip), () =>
    Effect.gen(function* () {
      const noAwk: Mutations = { verify: [["has awk", "false"]] }
      const { mutated, releases, session } = yield* deployed(kind, noAwk)
      const folder = join(releases, `deployer_${odd.ref}`)
      for (const [harm, harmed] of Object.entries(harms)) {
        yield* put(session, odd)
        harmed(folder)
        for (const depth of ["paths", "files"] as const) {
          const faults = (of: typeof session) =>
            Effect.map(of.verify([odd.ref], depth), ([verdict]) => verdict?.faults.toSorted())
          const found = yield* faults(session)
          // Each guesses in its own way which file a broken line was about.
          const same = (faults: typeof found) => (/garbage|has the name/.test(harm) ? faults?.length !== 0 : faults)
          assert.deepStrictEqual(same(yield* faults(mutated)), same(found), harm)
          if (depth === "files") assert.strictEqual(found?.length === 0, /^as it|nobody/.test(harm), harm)
        }
        fs.rmSync(folder, { recursive: true })
      }
    }).pipe(Effect.scoped)
  )
}

describe("without the protection", () => {
  it.live("Without the check of hashes, another release is accepted.", () =>
    Effect.gen(function* () {
      const noHashes: Mutations = { stage: [['if [ -n "$faults" ]', "if false"]] }
      const { mutated, session } = yield* deployed(local[0]!, noHashes)
      const exchanged = { ...two, tarball: sample("3").tarball }
      assert.include(
        (yield* Effect.flip(stage(session, exchanged))).message,
        "(my_app/bin/my_app, my_app/version, my_app/big)"
      )
      yield* stage(mutated, exchanged)
    }).pipe(Effect.scoped)
  )

  it.live("Without the count of lines, a manifest that lost a line is accepted.", () =>
    Effect.gen(function* () {
      const { mutated, releases, session } = yield* deployed(local[0]!, { verify: [['[ "$whole" = 1 ]', "true"]] })
      const file = join(releases, `deployer_${one.ref}/.deployer_manifest`)
      fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace(/^.* \.\/my_app\/big\n/m, ""))
      assert.deepStrictEqual((yield* session.verify([one.ref]))[0]?.faults, ["changed .deployer_manifest"])
      assert.deepStrictEqual((yield* mutated.verify([one.ref]))[0]?.faults, [])
    }).pipe(Effect.scoped)
  )
})
