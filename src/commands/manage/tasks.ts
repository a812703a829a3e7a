/** The verbs of `manage` as commands. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { UsageError } from "../../UsageError.ts"
import * as manage from "../manage.ts"
import {
  count,
  type FailureOf,
  flag,
  optional,
  optionalTarget,
  type ServicesOf,
  type Task,
  talk,
  target,
  task,
  value,
  wait,
  word,
  yes
} from "../Task.ts"
import { Adopted, adoptedView } from "./adopt.ts"
import {
  failUnlessIntact,
  HostInfo,
  HostReleaseInfo,
  hostInfoView,
  hostReleaseInfoView,
  Integrity,
  integrityView,
  Linked,
  linkedView
} from "./host.ts"
import { Pinned, pinnedView } from "./pin.ts"
import { Removal, removalView } from "./removal.ts"
import { ReleaseInfo, releaseInfoView, StoreInfo, storeInfoView } from "./store.ts"
import { Exported, exportedView, Imported, importedView } from "./transfer.ts"

const ref = word({
  name: "ref",
  placeholder: "R",
  completes: "ref",
  description: "an id, a ref, or the beginning of one (at least four digits); in the store also a name"
})
const name = word({
  name: "name",
  completes: "name",
  description: "the name of the releases; on a host by default the target's"
})

const required = (what: string, word: string | undefined): Effect.Effect<string, manage.WordMissing> =>
  word === undefined ? new manage.WordMissing({ what }) : Effect.succeed(word)

const info = task("info", {
  group: "manager",
  description: "Lists releases, or shows one release in full.",
  examples: ["deployer manage info all", "deployer manage info 844C target=prod"],
  options: {
    target: optionalTarget,
    ref,
    all: flag({ name: "all", description: "lists all releases of the store" }),
    limit: optional(
      count(
        {
          name: "limit",
          placeholder: "N",
          description: `how many releases of the store to list at most; default: ${manage.usualCount}`
        },
        "a number of releases"
      )
    ),
    name: optional(
      value({ name: "name", completes: "name", description: "lists only the releases of the store with this name" })
    )
  },
  report: {
    schema: Schema.Union(StoreInfo, ReleaseInfo, HostInfo, HostReleaseInfo),
    view: (report) => {
      switch (report._tag) {
        case "StoreInfo":
          return storeInfoView(report)
        case "ReleaseInfo":
          return releaseInfoView(report)
        case "HostInfo":
          return hostInfoView(report)
        case "HostReleaseInfo":
          return hostReleaseInfoView(report)
      }
    }
  },
  run: ({ all, limit, name, ref, target }) =>
    Effect.gen(function* () {
      if (target === undefined) {
        if (ref !== undefined) return yield* manage.releaseInfo(ref)
        return yield* manage.storeInfo({
          ...(all ? {} : { limit: limit ?? manage.usualCount }),
          ...(name === undefined ? {} : { name })
        })
      }
      if (limit !== undefined || name !== undefined) {
        return yield* new UsageError({
          message: '"limit" and "name" work only on the store: omit them, or omit the target'
        })
      }
      return ref === undefined ? yield* manage.hostInfo(target) : yield* manage.hostReleaseInfo(target, ref)
    })
})

const removal = { schema: Removal, view: removalView }

const prune = task("prune", {
  group: "manager",
  description: "Removes old releases: all but the latest and, on a host, the current and pinned ones.",
  examples: ["deployer manage prune my_app", "deployer manage prune target=prod yes"],
  options: { target: optionalTarget, name, wait, yes },
  report: removal,
  run: ({ name, target }) =>
    Effect.gen(function* () {
      return target === undefined
        ? yield* manage.pruneStore(yield* required("a name, as in: deployer manage prune name=my_app", name))
        : yield* manage.pruneHost(target, name)
    })
})

const deletion = task("delete", {
  group: "manager",
  description: "Removes one release, but on a host never the current one.",
  examples: ["deployer manage delete 3", "deployer manage delete 844C target=prod"],
  options: { target: optionalTarget, ref, wait, yes },
  report: removal,
  run: ({ ref, target }) =>
    Effect.gen(function* () {
      const wanted = yield* required("a ref, as in: deployer manage delete ref=3F2A", ref)
      return target === undefined ? yield* manage.deleteFromStore(wanted) : yield* manage.deleteFromHost(target, wanted)
    })
})

const link = task("ln", {
  group: "manager",
  description: "Makes another release on a host current. Only switches the link, and restarts nothing.",
  examples: ["deployer manage ln 844C target=prod", "deployer manage ln 844C target=prod wait=5m"],
  options: { target, ref, wait },
  report: { schema: Linked, view: linkedView },
  run: ({ ref, target }) =>
    Effect.flatMap(required("a ref, as in: deployer manage ln ref=3F2A target=prod", ref), (ref) =>
      manage.link(target, ref)
    )
})

const pinning = (verb: "pin" | "unpin", run: typeof manage.pin, description: string) =>
  task(verb, {
    group: "manager",
    description,
    examples: [`deployer manage ${verb} 844C target=prod`, `deployer manage ${verb} 844C target=prod wait=5m`],
    options: { target, ref, wait },
    report: { schema: Pinned, view: pinnedView },
    run: ({ ref, target }) =>
      Effect.flatMap(required(`a ref, as in: deployer manage ${verb} ref=3F2A target=prod`, ref), (ref) =>
        run(target, ref)
      )
  })

const adopt = task("adopt", {
  group: "manager",
  description: "Turns a directory in the place of the link current into a release.",
  examples: ["deployer manage adopt target=prod", "deployer manage adopt target=prod yes"],
  options: { target, wait, yes },
  report: { schema: Adopted, view: adoptedView },
  run: ({ target }) => manage.adopt(target)
})

const integrity = task("integrity", {
  group: "manager",
  description: "Checks the link current and the files of every release on a host.",
  examples: ["deployer manage integrity target=prod", "deployer manage integrity deep target=prod"],
  options: {
    target,
    deep: flag({
      name: "deep",
      description: "reads and hashes every file; default: compares only paths and types"
    }),
    fix: flag({
      name: "fix",
      alias: "f",
      description: "removes broken releases, except the current, the previous and pinned ones"
    }),
    wait,
    yes
  },
  report: { schema: Integrity, view: integrityView },
  run: ({ deep, fix, target }) => manage.integrity(target, { deep, fix }),
  check: failUnlessIntact
})

const exporting = task("export", {
  group: "manager",
  description: "Writes a release of the store to a file, for the store of another machine or CI job.",
  examples: [
    "deployer manage export release=latest file=my_app.release",
    "deployer manage export release=3F2A file=previous.release"
  ],
  options: {
    release: value({
      name: "release",
      placeholder: "R",
      completes: "release",
      description: "an id, a ref (its first four digits are enough if they are unique), a name, or latest"
    }),
    file: value({
      name: "file",
      placeholder: "FILE",
      completes: "file",
      description: "the file to write; another file is not replaced"
    })
  },
  report: { schema: Exported, view: exportedView },
  run: manage.exportRelease
})

const importing = task("import", {
  group: "manager",
  description: "Adds the release of an exported file to the store, after checking all of it.",
  examples: ["deployer manage import file=my_app.release", "deployer manage import file=my_app.release json"],
  options: {
    file: value({
      name: "file",
      placeholder: "FILE",
      completes: "file",
      description: "a file that manage export wrote"
    })
  },
  report: { schema: Imported, view: importedView },
  run: manage.importRelease
})

const verbs = [
  info,
  prune,
  deletion,
  link,
  pinning("pin", manage.pin, "Pins a release on a host, so that nothing prunes it."),
  pinning("unpin", manage.unpin, "Unpins a release on a host, so that it can be pruned again."),
  adopt,
  integrity,
  exporting,
  importing
] as const

type Verb = (typeof verbs)[number]
const tasks: ReadonlyArray<Task<FailureOf<Verb>, ServicesOf<Verb>>> = verbs

/** The command: interactive, or one verb at a time. */
export const manageTask = talk("manage", {
  group: "manager",
  description: "Manages the releases in the store or on a host. Asks for commands, or runs one verb.",
  examples: ["deployer manage target=prod", "deployer manage info"],
  options: { target: optionalTarget },
  instead: "name one of its verbs, as in: deployer manage info json",
  run: ({ target }) => manage.manage(target),
  tasks
})
