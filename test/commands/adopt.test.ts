import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { MemoryHost } from "../../src/host/MemoryHost.ts"
import { ctrlC } from "../../src/terminal/Prompt.ts"
import { built, currentRef, hostNamed, prodPath, run, world } from "../kit/world.ts"

const releases = `${prodPath}/releases`

/** A host that somebody else deployed to. */
const occupied = (below = "") =>
  Effect.map(hostNamed(), (host) => {
    host.files.write(`${releases}/current${below}/index.html`, "theirs")
    host.files.write(`${releases}/current${below}/bin/run`, "#!/bin/sh\n", 0o755)
    host.files.link(`${releases}/current${below}/home`, "index.html")
    return host
  })

/** The connection is lost at the beginning of the adoption's last step, which still completes, but for the link. */
const cut = (host: MemoryHost) =>
  Effect.gen(function* () {
    assert.strictEqual((yield* run("manage adopt target=prod yes")).status, 0)
    const ref = currentRef(host) ?? ""
    const folder = `${releases}/deployer_${ref}`
    const record = host.files.read(`${folder}/.deployer_release.json`) ?? ""
    host.files.write(`${releases}/.adopting_${ref}/record`, record)
    host.files.write(`${releases}/.adopting_${ref}/entries`, host.files.read(`${prodPath}/config/journal`) ?? "")
    host.files.remove(`${prodPath}/config/journal`)
    host.files.remove(`${folder}/.deployer_release.json`)
    host.files.remove(`${releases}/current`)
    return ref
  })

describe("manage adopt", () => {
  for (const [layout, below, said] of [
    [
      "the whole directory at current",
      "",
      /\/srv\/my_app\/releases\/current on deploy@host\.test \(2 files, 16 B\) becomes my_app [0-9A-F]{8}, in releases\/deployer_[0-9A-F]{32}\/my_app: programs started from current\/… have to be started from current\/my_app\/… afterwards/
    ],
    [
      "the folder with the target's name",
      "/my_app",
      /\/srv\/my_app\/releases\/current on deploy@host\.test holds only my_app\/ \(2 files, 16 B\): it becomes my_app [0-9A-F]{8}, in releases\/deployer_/
    ]
  ] as const) {
    it.scoped(`Manage adopt makes a release of ${layout}, and rollback can return to it later.`, () =>
      Effect.gen(function* () {
        const host = yield* occupied(below)
        yield* built
        const refused = yield* run("deploy target=prod yes")
        assert.match(
          refused.stderr,
          /is not a link but a directory .*: turn the directory into a release with deployer manage adopt/
        )
        const ran = yield* run("manage adopt target=prod", "y")
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.match(ran.stderr, said)
        assert.match(
          ran.stdout,
          /^my_app [0-9A-F]{8} is a release on deploy@host\.test now, and current leads to it\n$/
        )
        const ref = currentRef(host) ?? ""
        assert.strictEqual(host.files.read(`${releases}/current/my_app/index.html`), "theirs")
        assert.strictEqual((yield* run("status target=prod")).status, 0)
        assert.strictEqual((yield* run("manage integrity deep target=prod")).status, 0)
        assert.match((yield* run("history target=prod")).stdout, new RegExp(`my_app ${ref.slice(0, 8)} +adopted`))
        const again = yield* run("manage adopt target=prod")
        assert.deepStrictEqual([again.status, again.asked], [0, []])
        assert.match(again.stdout, /already: nothing to adopt\n$/)
        assert.strictEqual((yield* run("deploy target=prod yes")).status, 0)
        assert.notStrictEqual(currentRef(host), ref)
        assert.strictEqual((yield* run("rollback target=prod")).status, 0)
        assert.strictEqual(currentRef(host), ref)
      }).pipe(Effect.provide(world()))
    )
  }

  it.scoped("Manage adopt does nothing without a yes, and leaves no trace of its look.", () =>
    Effect.gen(function* () {
      const host = yield* occupied()
      for (const [answers, status] of [
        [["n"], 1],
        [[ctrlC], 130],
        [[], 3]
      ] as const) {
        const ran = yield* run("manage adopt target=prod", ...answers)
        assert.strictEqual(ran.status, status)
        assert.deepStrictEqual(host.files.names(releases), ["current"])
        assert.strictEqual(host.files.read(`${releases}/current/index.html`), "theirs")
      }
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage adopt refuses anything but a real directory at current, and names the thing it found.", () =>
    Effect.gen(function* () {
      const host = yield* hostNamed()
      assert.match((yield* run("manage adopt target=prod yes")).stderr, /Nothing has been deployed to \/srv\/my_app/)
      host.files.write(`${releases}/current`, "a file")
      assert.match(
        (yield* run("manage adopt target=prod yes")).stderr,
        /is not a link but a file .*: move it away and deploy again\n$/
      )
      host.files.remove(`${releases}/current`)
      assert.match(
        (yield* run("manage adopt target=prod yes")).stderr,
        /nothing to adopt on .*: there is no current link\. To make/
      )
      host.files.link(`${releases}/current`, "/opt/theirs")
      assert.match(
        (yield* run("manage adopt target=prod yes")).stderr,
        /nothing to adopt on .*: current leads to \/opt\/theirs/
      )
      host.files.remove(`${releases}/current`)
      host.files.write(`${releases}/current/two\nlines`, "")
      assert.match((yield* run("manage adopt target=prod yes")).stderr, /line break/)
      assert.strictEqual(host.files.read(`${releases}/current/two\nlines`), "")
    }).pipe(Effect.provide(world()))
  )

  it.scoped("Manage adopt changes nothing on a host that is locked.", () =>
    Effect.gen(function* () {
      const host = yield* occupied()
      host.files.makeDirectory(`${prodPath}/config`)
      yield* run("lock target=prod reason=freeze")
      assert.strictEqual((yield* run("manage adopt target=prod yes")).status, 4)
      assert.deepStrictEqual(host.files.names(releases), ["current"])
    }).pipe(Effect.provide(world()))
  )

  for (const line of ["manage adopt target=prod yes", "repair target=prod yes", "deploy target=prod yes"]) {
    it.scoped(`The command ${line} finishes an adoption that was cut.`, () =>
      Effect.gen(function* () {
        const host = yield* occupied()
        yield* built
        const ref = yield* cut(host)
        const status = yield* run("status target=prod")
        assert.match(status.stdout, /^drift +the adoption of [0-9A-F]{8} did not finish$/m)
        const ran = yield* run(line)
        assert.strictEqual(ran.status, 0, ran.stderr)
        assert.deepStrictEqual(host.journal(prodPath)[0]?.event, "adopted")
        assert.strictEqual(host.files.read(`${releases}/deployer_${ref}/my_app/index.html`), "theirs")
        if (line.startsWith("deploy")) assert.strictEqual((yield* run("rollback target=prod")).status, 0)
        assert.strictEqual(currentRef(host), ref)
        assert.strictEqual((yield* run("status target=prod")).status, 0)
      }).pipe(Effect.provide(world()))
    )
  }
})
