import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import { httpAnswer, type MemoryHost } from "../../src/host/MemoryHost.ts"
import { RepairPlan, RepairReport } from "../../src/index.ts"
import { journalEntry, refOf } from "../kit/samples.ts"
import { built, currentRef, hostNamed, prodPath, run, stored, usualConfig, world } from "../kit/world.ts"

const releases = `${prodPath}/releases`

/** Three releases, one after another; the last is live. */
const three = Effect.gen(function* () {
  for (let count = 0; count < 3; count++) {
    yield* built
    const ran = yield* run("deploy target=prod yes")
    assert.strictEqual(ran.status, 0, ran.stderr)
  }
  return yield* hostNamed()
})

const refs = Effect.map(stored, (all) => all.map(({ ref }) => ref))

const report = (stdout: string) => Schema.decodeUnknownSync(Schema.parseJson(RepairReport))(stdout)

/** Everything on the host but locks and signs of life. */
const snapshot = (host: MemoryHost) =>
  Object.fromEntries(
    host.files
      .below(prodPath)
      .filter(([path]) => !/^config\/(lock|beat)\./.test(path))
      .map(([path, node]) => [path, JSON.stringify(node)])
  )

describe("repair", () => {
  it.scoped("Repair shows its plan, asks, carries it out, and has nothing to do afterwards.", () =>
    Effect.gen(function* () {
      const host = yield* three
      const [, , live = ""] = yield* refs
      host.files.remove(`${releases}/current`)
      host.plantUpload(prodPath, { ref: refOf("C"), content: new Uint8Array(5) })
      const status = yield* run("status target=prod")
      assert.include(status.stderr, "repair it with deployer repair target=prod")
      const before = snapshot(host)
      const shown = yield* run("repair target=prod plan")
      assert.strictEqual(shown.status, 0, shown.stderr)
      assert.deepStrictEqual(shown.stdout.split("\n"), [
        "deploy@host.test:/srv/my_app: found",
        "    there is no current link",
        "    an upload of CCCCCCCC did not finish",
        ` 1. make my_app ${live.slice(0, 8)} current (there is no current link)`,
        " 2. remove what arrived of CCCCCCCC",
        " 3. note in the journal: repaired",
        ""
      ])
      const no = yield* run("repair target=prod", "n")
      assert.strictEqual(no.status, 1)
      assert.match(no.stderr, /The answer was no: nothing was changed\n$/)
      assert.deepStrictEqual(no.asked, ["Do these 3 things on deploy@host.test?"])
      assert.deepStrictEqual(snapshot(host), before)
      const ran = yield* run("repair target=prod", "y")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.match(ran.stdout, /^Repaired deploy@host\.test:\/srv\/my_app in .*: journal, link and folders agree\n$/)
      assert.include(ran.stderr, "Found on deploy@host.test: there is no current link\n")
      assert.strictEqual(currentRef(host), live)
      assert.deepStrictEqual(
        host
          .journal(prodPath)
          .slice(-2)
          .map(({ detail, event }) => [event, detail]),
        [
          ["linked", "repaired: there is no current link"],
          ["repaired", "there is no current link; an upload of CCCCCCCC did not finish"]
        ]
      )
      assert.strictEqual((yield* run("status target=prod")).status, 0)
      const again = yield* run("repair target=prod")
      assert.deepStrictEqual([again.status, again.asked], [0, []])
      assert.match(again.stdout, /^Nothing to repair at .*: journal, link and folders agree\n$/)
      assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A release that another tool put there, with a name like ours, survives every command and is listed.", () =>
    Effect.gen(function* () {
      const host = yield* three
      const theirs = `${releases}/deployer_${refOf("E")}/my_app/bin/my_app`
      host.files.write(theirs, "theirs")
      host.plantUpload(prodPath, { ref: refOf("C"), content: new Uint8Array(5) })
      for (const line of [
        "repair target=prod yes",
        "manage integrity -f target=prod yes",
        "manage prune name=my_app target=prod yes",
        "rollback target=prod",
        "deploy target=prod yes"
      ]) {
        yield* run(line)
        assert.strictEqual(host.files.read(theirs), "theirs", line)
      }
      const info = yield* run("manage info target=prod")
      assert.include(info.stdout, `deployer_${refOf("E")} was not made by deployer, and stays unchanged`)
      assert.strictEqual((yield* run("status target=prod")).status, 0)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Repair needs the lock to change something, but not to look.", () =>
    Effect.gen(function* () {
      const host = yield* three
      host.files.remove(`${releases}/current`)
      yield* run("lock target=prod reason=freeze")
      assert.strictEqual((yield* run("repair target=prod yes")).status, 4)
      assert.strictEqual((yield* run("repair target=prod plan")).status, 0)
      assert.isUndefined(currentRef(host))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("After a repair, status ignores the torn journal lines before it but reports later ones.", () =>
    Effect.gen(function* () {
      const host = yield* three
      const journal = `${prodPath}/config/journal`
      const tear = () => host.files.write(journal, `${host.files.read(journal)}{"event":"swi`)
      tear()
      assert.match((yield* run("status target=prod")).stderr, /1 line of the journal cannot be read/)
      const before = host.files.read(journal) ?? ""
      assert.strictEqual((yield* run("repair target=prod yes")).status, 0)
      assert.isTrue(host.files.read(journal)?.startsWith(before))
      assert.strictEqual((yield* run("status target=prod")).status, 0)
      tear()
      assert.match((yield* run("status target=prod")).stderr, /1 line of the journal cannot be read/)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Repair rewrites a record from the store, and keeps a healthy release that the store lacks.", () =>
    Effect.gen(function* () {
      const host = yield* three
      const [one = "", two = "", live = ""] = yield* refs
      const record = (ref: string) => `${releases}/deployer_${ref}/.deployer_release.json`
      const before = host.files.read(record(live))
      for (const ref of [one, two, live]) host.files.write(record(ref), "garbage")
      yield* run(`manage delete ref=${two} yes`)
      const ran = yield* run("repair target=prod yes")
      assert.strictEqual(ran.status, 1, ran.stderr)
      assert.include(ran.stderr, "deploy it again from a machine whose store has it")
      assert.strictEqual(JSON.parse(host.files.read(record(live)) ?? "").id, JSON.parse(before ?? "").id)
      assert.isDefined(host.files.node(`${releases}/deployer_${two}`))
      assert.strictEqual((yield* run("manage integrity -f target=prod yes")).status, 0)
      assert.isUndefined(host.files.node(`${releases}/deployer_${two}`))
      const info = yield* run("manage info target=prod")
      assert.match(info.stdout, new RegExp(`\\ncurrent +my_app +${live.slice(0, 8)} .*latest\\n.*${one.slice(0, 8)} `))
      assert.lengthOf(info.stdout.match(/latest/g) ?? [], 1)
      assert.strictEqual((yield* run("status target=prod")).status, 0)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Repair writes no record for a release whose files differ from the store.", () =>
    Effect.gen(function* () {
      const host = yield* three
      const [, , live = ""] = yield* refs
      host.files.remove(`${releases}/deployer_${live}/.deployer_release.json`)
      host.files.write(`${releases}/deployer_${live}/my_app/version`, "")
      const ran = yield* run("repair target=prod yes")
      assert.strictEqual(ran.status, 1, ran.stderr)
      assert.isUndefined(host.files.node(`${releases}/deployer_${live}/.deployer_release.json`))
      assert.strictEqual(currentRef(host), live)
      assert.strictEqual((yield* run("deploy target=prod release=3 retry yes")).status, 0)
      assert.strictEqual((yield* run("status target=prod")).status, 0)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("A line of the journal that is damaged later is noticed, even if a repair follows it.", () =>
    Effect.gen(function* () {
      const host = yield* three
      const journal = `${prodPath}/config/journal`
      host.files.write(journal, `garbage\n${host.files.read(journal)}`)
      yield* run("repair target=prod yes")
      host.files.remove(`${releases}/current`)
      yield* run("repair target=prod yes")
      assert.strictEqual((yield* run("status target=prod")).status, 0)
      const [garbage = "", first = "", ...rest] = (host.files.read(journal) ?? "").split("\n")
      host.files.write(journal, [garbage, first.replace("event", "\0\0\0\0"), ...rest].join("\n"))
      assert.include((yield* run("status target=prod")).stderr, "1 line of the journal cannot be read")
      yield* run("repair target=prod yes")
      assert.strictEqual((yield* run("status target=prod")).status, 0)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Repair does not make a release current if it lacks files.", () =>
    Effect.gen(function* () {
      const host = yield* three
      const [, , live = ""] = yield* refs
      host.files.remove(`${releases}/current`)
      host.files.remove(`${releases}/deployer_${live}/my_app`)
      const ran = yield* run("repair target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.include(ran.stderr, "is not whole")
      assert.isUndefined(host.files.node(`${releases}/current`))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Repair names the problems that it leaves to the user, and fails.", () =>
    Effect.gen(function* () {
      const host = yield* three
      const [, , live = ""] = yield* refs
      host.files.write(`${releases}/deployer_${live}/.deployer_release.json`, "garbage")
      yield* run(`manage delete ref=${live} yes`)
      const ran = yield* run("repair target=prod yes")
      assert.strictEqual(ran.status, 1)
      assert.strictEqual(currentRef(host), live)
      assert.match(
        ran.stderr,
        /deployer: 2 things are left on deploy@host\.test for you to decide \(current leads to .*; the record of .*\): make a whole release current .*; deploy again, or go back with deployer rollback target=prod\n$/
      )
    }).pipe(Effect.provide(world()))
  )

  const prod = { host: "host.test", user: "deploy", name: "my_app", path: prodPath }
  const checking = (more: object = {}) => ({
    ...usualConfig,
    targets: {
      prod: { ...prod, restart: "restart", health: { tcp: 80, successes: 1, interval: 1, timeout: 1 }, ...more }
    }
  })

  for (const isWell of [true, false]) {
    it.scoped(
      `Repair finishes a switch that was cut, which goes ${isWell ? "well" : "back if the release is unhealthy"}.`,
      () =>
        Effect.gen(function* () {
          const host = yield* hostNamed()
          host.onDial = () => () => httpAnswer(200)
          yield* three
          const [, before = "", live = ""] = yield* refs
          // A shell that was killed between the rename and its line in the journal.
          const journal = host.journal(prodPath)
          host.files.write(`${prodPath}/config/journal`, "")
          host.plantJournal(
            prodPath,
            ...journal.slice(
              0,
              journal.findLastIndex(({ event }) => event === "switched")
            )
          )
          host.commands.length = 0
          if (!isWell) {
            const dialled = { count: 0 }
            host.onDial = () =>
              currentRef(host) === live && dialled.count++ < 1000 ? "refused" : () => httpAnswer(200)
          }
          const fiber = yield* Effect.fork(run("repair target=prod yes"))
          yield* TestClock.adjust("1 minute")
          const ran = yield* fiber
          assert.strictEqual(ran.status, isWell ? 0 : 5, ran.stderr)
          assert.strictEqual(currentRef(host), isWell ? live : before)
          assert.deepStrictEqual(
            host.commands.map(({ command, ref }) => [command, ref]),
            isWell
              ? [["restart", live]]
              : [
                  ["restart", live],
                  ["restart", before]
                ]
          )
          assert.strictEqual((yield* run("status target=prod")).status, 0)
        }).pipe(Effect.provide(world({ config: checking() })))
    )
  }

  it.scoped("Repair goes back if the host should have done so by itself.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      host.onDial = () => () => httpAnswer(200)
      yield* three
      const [, before = "", live = ""] = yield* refs
      yield* TestClock.adjust("1 hour")
      const journal = host.journal(prodPath)
      host.files.write(`${prodPath}/config/journal`, "")
      host.plantJournal(prodPath, ...journal.slice(0, -1))
      host.files.write(`${prodPath}/config/armed.1.1`, `${live} ${before} 100\n`)
      assert.match((yield* run("status target=prod")).stderr, /should have gone back/)
      const ran = yield* run("repair target=prod yes")
      assert.strictEqual(ran.status, 0, ran.stderr)
      assert.strictEqual(currentRef(host), before)
      assert.deepStrictEqual(
        host
          .journal(prodPath)
          .slice(-3)
          .map(({ event, release }) => [event, release?.ref]),
        [
          ["unhealthy", live],
          ["rolledBack", before],
          ["healthy", before]
        ]
      )
      assert.strictEqual((yield* run("status target=prod")).status, 0)
    }).pipe(Effect.provide(world({ config: checking() })))
  )

  it.scoped("Repair does not go further back while a dependency is down, and blames no healthy release.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      host.onDial = () => () => httpAnswer(200)
      yield* three
      const [, before = "", live = ""] = yield* refs
      yield* built
      host.onDial = () => "refused"
      const deploying = yield* Effect.fork(run("deploy target=prod yes"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* deploying).status, 6)
      assert.strictEqual(currentRef(host), live)
      for (const _ of [1, 2]) {
        assert.include(
          (yield* run("status target=prod")).stdout,
          `the host went back to my_app ${live.slice(0, 8)}, and`
        )
        const repairing = yield* Effect.fork(run("repair target=prod yes"))
        yield* TestClock.adjust("1 minute")
        const ran = yield* repairing
        assert.strictEqual(ran.status, 5, ran.stderr)
        assert.include(ran.stderr, "so it is still current on")
        assert.notInclude(ran.stderr, "marked as failed")
        assert.strictEqual(currentRef(host), live)
      }
      host.onDial = () => () => httpAnswer(200)
      const mending = yield* Effect.fork(run("repair target=prod yes"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* mending).status, 0)
      assert.strictEqual((yield* run("status target=prod")).status, 0)
      const back = yield* Effect.fork(run("rollback target=prod"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* back).status, 0)
      assert.strictEqual(currentRef(host), before)
    }).pipe(Effect.provide(world({ config: checking() })))
  )
})

// A host in any state

/** The accidents of a host; numbers choose among releases. */
const mishaps: Readonly<Record<string, (host: MemoryHost, refs: ReadonlyArray<string>, n: number) => void>> = {
  unlink: (host) => host.files.remove(`${releases}/current`),
  dangle: (host) => host.files.link(`${releases}/current`, `deployer_${refOf("F")}`),
  leadAway: (host) => host.files.link(`${releases}/current`, "/opt/theirs"),
  writeOut: (host, refs, n) => host.files.link(`${releases}/current`, `${releases}/deployer_${refs[n % refs.length]}`),
  relink: (host, refs, n) => host.files.link(`${releases}/current`, `deployer_${refs[n % refs.length]}`),
  lose: (host, refs, n) => host.files.remove(`${releases}/deployer_${refs[n % refs.length]}`),
  damage: (host, refs, n) => {
    const folder = `${releases}/deployer_${refs[n % refs.length]}`
    if (host.files.node(folder) !== undefined) host.files.write(`${folder}/.deployer_release.json`, "garbage")
  },
  unrecord: (host, refs, n) =>
    host.files.remove(`${releases}/deployer_${refs[n % refs.length]}/.deployer_release.json`),
  upload: (host, refs, n) =>
    host.plantUpload(prodPath, {
      ref: n % 2 === 0 ? refOf("C") : (refs[n % refs.length] ?? ""),
      content: new Uint8Array(n)
    }),
  tear: (host) => {
    const journal = `${prodPath}/config/journal`
    host.files.write(journal, `${host.files.read(journal) ?? ""}{"event":"swi`)
  },
  forget: (host, _, n) => {
    const entries = host.journal(prodPath)
    host.files.write(`${prodPath}/config/journal`, "")
    host.plantJournal(prodPath, ...entries.slice(0, Math.max(0, entries.length - (n % 5))))
  },
  fail: (host, refs, n) =>
    host.plantJournal(
      prodPath,
      journalEntry({ event: "unhealthy", release: { name: "my_app", ref: refs[n % refs.length] ?? "" } })
    ),
  arm: (host, refs, n) =>
    host.files.write(
      `${prodPath}/config/armed.1.1`,
      `${refs[n % refs.length]} ${n % 4 === 0 ? "-" : refs[(n + 1) % refs.length]} -600\n`
    ),
  occupy: (host) => {
    host.files.remove(`${releases}/current`)
    host.files.write(`${releases}/current/theirs`, "theirs")
  }
}

/** Tears the journal last, because nothing here reads it with torn lines. */
const order = (names: ReadonlyArray<readonly [string, number]>) =>
  names.toSorted(([a], [b]) => Number(a === "tear") - Number(b === "tear"))

const happenings = FastCheck.array(
  FastCheck.tuple(FastCheck.constantFrom(...Object.keys(mishaps)), FastCheck.nat(12)),
  {
    minLength: 1,
    maxLength: 5
  }
)

/** Files that are not deployer's, also by names that look like it. */
const foreign = ["deployer_x/f", "current.bak", ".trash/f", ".staging_x/f", "theirs"].map(
  (name) => `${releases}/${name}`
)

/** Hosts of either kind. */
const runs = Number(process.env["REPAIR_RUNS"] ?? 40)

describe("whatever happened to a host", { timeout: 60_000 + runs * 1000 }, () => {
  for (const isStored of [true, false]) {
    it.scoped(
      `After any mishaps, repair makes journal, link and folders agree, or names each problem left${isStored ? "" : ", also without a store"}.`,
      () =>
        Effect.gen(function* () {
          const host = yield* three
          const all = yield* refs
          if (!isStored) for (const ref of all) yield* run(`manage delete ref=${ref} yes`)
          for (const file of foreign) host.files.write(file, "theirs")
          const whole = host.files.below("/srv")
          const runtime = yield* Effect.runtime<Effect.Effect.Context<ReturnType<typeof run>>>()
          const mended = (happened: ReadonlyArray<readonly [string, number]>) =>
            Effect.gen(function* () {
              host.files.remove("/srv")
              for (const [path, node] of whole) {
                if (node._tag === "Directory") host.files.makeDirectory(`/srv/${path}`)
                else if (node._tag === "Link") host.files.link(`/srv/${path}`, node.to)
                else host.files.write(`/srv/${path}`, node.content, node.mode)
              }
              for (const [name, n] of order(happened)) mishaps[name]?.(host, all, n)
              const isOccupied = host.files.node(`${releases}/current`)?._tag === "Directory"
              const shown = yield* run("repair target=prod plan json")
              const plan = Schema.decodeUnknownSync(Schema.parseJson(RepairPlan))(shown.stdout)
              const ran = yield* run("repair target=prod yes json")
              const text = `${shown.stdout}\n${ran.stdout}\n${ran.stderr}`
              const done = JSON.parse(ran.stdout)
              if (done.report === undefined && done._tag === "Failure") assert.fail(text)
              const { left, plan: carriedOut } = report(JSON.stringify(done.report ?? done))
              // The command did the steps that it had shown, and it foretold the rest.
              const kinds = (some: typeof left) =>
                some.map(({ advice, kind, ref }) => `${kind} ${ref} ${advice}`).toSorted()
              assert.deepStrictEqual(
                [carriedOut.steps.length, kinds(left)],
                [plan.steps.length, kinds(plan.left)],
                text
              )
              assert.strictEqual(ran.status, left.length === 0 ? 0 : 1, text)
              // That is for somebody to decide, and status says the same.
              assert.notInclude(kinds(left).join(), "repair", text)
              const seen = JSON.parse((yield* run("status target=prod json")).stdout)
              assert.lengthOf((seen.report ?? seen).drift, left.length, text)
              const again = yield* run("repair target=prod")
              assert.deepStrictEqual([again.status, again.asked], [ran.status, []], `${text}\n${again.stderr}`)
              for (const file of foreign) assert.strictEqual(host.files.read(file), "theirs")
              if (isOccupied) assert.strictEqual(host.files.read(`${releases}/current/theirs`), "theirs")
              else if (left.length === 0 && host.files.node(`${releases}/current`) !== undefined) {
                assert.isDefined(host.files.read(`${releases}/current/.deployer_release.json`), text)
              }
            })
          yield* Effect.promise(() =>
            FastCheck.assert(
              FastCheck.asyncProperty(happenings, (happened) => Runtime.runPromise(runtime)(mended(happened))),
              { numRuns: runs }
            )
          )
        }).pipe(Effect.provide(world()))
    )
  }
})
