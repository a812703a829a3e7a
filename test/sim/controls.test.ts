/** Each promise of a simulated world is shown to be watched: with its protection taken out, some world breaks it. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { vi } from "vitest"
import type * as HostState from "../../src/domain/HostState.ts"
import { standing } from "../../src/domain/Journal.ts"
import type * as Prune from "../../src/domain/Prune.ts"
import type { MemoryHost } from "../../src/host/MemoryHost.ts"
import { type Prepared, prepared } from "./store.ts"
import type { Invariant } from "./watch.ts"
import { breath, runWorld, type WorldOptions } from "./world.ts"

/** Which protections of ours are out right now. */
const out = vi.hoisted(() => ({ healthy: false, keep: false }))

vi.mock(import("../../src/domain/HostState.ts"), async (original) => {
  const real = await original()
  /** Goes back to another release, if possible to one that is not known to be healthy. */
  const previousRelease: typeof HostState.previousRelease = (state, from) => {
    if (!out.healthy) return real.previousRelease(state, from)
    const others = state.releases.filter(({ ref }) => state.current._tag !== "Linked" || state.current.ref !== ref)
    return others.find(({ ref }) => standing(state.journal, ref) !== "healthy") ?? others[0]
  }
  return { ...real, previousRelease }
})

vi.mock(import("../../src/domain/Prune.ts"), async (original) => {
  const real = await original()
  /** Leaves only the current release. */
  const beyondKeep: typeof Prune.beyondKeep = (state, name, keep) =>
    out.keep
      ? state.releases.filter(({ ref }) => state.current._tag !== "Linked" || state.current.ref !== ref)
      : real.beyondKeep(state, name, keep)
  return { ...real, beyondKeep }
})

let store: Prepared
beforeAll(async () => {
  store = await Effect.runPromise(prepared)
})

/** Looks for a world that breaks a promise, in no more than so many. */
const breaks = async (invariant: Invariant, options: WorldOptions = {}, worlds = 400) => {
  const others = new Map<string, number>()
  for (let seed = 1; seed <= worlds; seed++) {
    await breath()
    const { violation } = runWorld(store, seed, options)
    if (violation?.invariant === invariant) return
    if (violation !== undefined) others.set(violation.detail, seed)
  }
  assert.fail(`no world of ${worlds} breaks "${invariant}"; others: ${JSON.stringify([...others].slice(0, 5))}`)
}

/** Does with each file of a host in memory something else than it should. */
const withFiles =
  (change: (files: MemoryHost["files"]) => Partial<MemoryHost["files"]>): NonNullable<WorldOptions["sabotageHost"]> =>
  ({ files }) =>
    void Object.assign(files, change(files))

describe("a simulated world notices", () => {
  it("A simulated world notices a switch that takes the link away for a moment.", () =>
    breaks("current", {
      sabotageHost: withFiles((files) => {
        const link = files.link.bind(files)
        return {
          link: (path, to) => {
            if (path.endsWith("/current")) files.remove(path)
            return link(path, to)
          }
        }
      })
    }))

  it("A simulated world notices an unpacked file that differs from the sent one.", () =>
    breaks("current", {
      sabotageHost: withFiles((files) => {
        const rename = files.rename.bind(files)
        return {
          rename: (from, to) => {
            files.write(`${from}/my_app/version`, "another")
            rename(from, to)
          }
        }
      })
    }))

  it("A simulated world notices a host that does not check who holds the lock.", () =>
    breaks("holder", {
      // Each step comes with the token of the present holder of the lock.
      sabotage: (call, _step, host) =>
        call.fencing === undefined ? call : { ...call, fencing: { ...call.fencing, fence: topToken(host) } }
    }))

  it("A simulated world notices a lock that is taken over while its holder is alive.", () =>
    breaks("holder", {
      sabotage: (call, { name }) => (name === "lock" ? { ...call, args: { ...call.args, stale: "0" } } : call)
    }))

  it("A simulated world notices a rollback to a release that was never healthy.", async () => {
    out.healthy = true
    try {
      await breaks("rollback")
    } finally {
      out.healthy = false
    }
  })

  it("A simulated world notices a prune that keeps too few releases.", async () => {
    out.keep = true
    try {
      await breaks("keep")
    } finally {
      out.keep = false
    }
  })

  it("A simulated world notices a dead-man's switch that cannot be disarmed.", () =>
    breaks("agreement", {
      sabotageHost: withFiles((files) => {
        const remove = files.remove.bind(files)
        return { remove: (path) => (/\/config\/armed\.[0-9.]+$/.test(path) ? undefined : remove(path)) }
      })
    }))

  it("A simulated world notices a host that reports a switch that it has not made.", () =>
    breaks("verdict", {
      sabotageHost: withFiles((files) => {
        const link = files.link.bind(files)
        return { link: (path, to) => (path.endsWith("/current") ? true : link(path, to)) }
      })
    }))

  it("A simulated world notices a journal that nobody writes.", () =>
    breaks("agreement", {
      sabotageHost: withFiles((files) => {
        const write = files.write.bind(files)
        return {
          write: (path, content, mode) => (path.endsWith("/config/journal") ? true : write(path, content, mode))
        }
      })
    }))

  it("A simulated world notices a command that waits for an answer that never comes.", () =>
    breaks("errors", { sabotageHost: (host) => void Object.assign(host, { beforeStep: () => Effect.never }) }))
})

const topToken = (host: MemoryHost): number =>
  Math.max(
    0,
    ...host.files
      .names("/srv/my_app/config")
      .filter((file) => file.startsWith("lock."))
      .map((file) => Number(file.slice(5)))
  )
