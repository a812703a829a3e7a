import { assert, describe, it } from "@effect/vitest"
import { Ajv2020 } from "ajv/dist/2020.js"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { conversations, jsonSchema, reports } from "../../src/Cli.ts"
import type { TaskSpec } from "../../src/Spec.ts"
import { Failure } from "../../src/terminal/Failure.ts"
import { tree } from "../../src/tree.ts"
import { Workspace } from "../../src/workspace/Workspace.ts"
import { currentRef, hostNamed, prodPath, projectFolder, type Ran, run, usualConfig, world } from "../kit/world.ts"

/** Every task of the command line by its name there: `build`, `manage`, `manage info`. */
const tasksOf = ({ tasks }: TaskSpec, above = ""): ReadonlyArray<string> =>
  tasks.flatMap((task) => [`${above}${task.name}`, ...tasksOf(task, `${above}${task.name} `)])

const tasks = tasksOf(tree.spec)

/** Two releases in the store, the older one live on the host. */
const deployed = Effect.gen(function* () {
  yield* run("build target=prod")
  yield* run("deploy target=prod yes")
  yield* run("build target=prod")
  const host = yield* hostNamed()
  host.onRun = ({ command }) => ({ output: `${command}: ok\n` })
})

const both = Effect.zipRight(deployed, run("deploy target=prod yes"))

/** Two releases on the host, and a plan for a third thing in the root. */
const planned = (line: string) =>
  Effect.gen(function* () {
    yield* both
    yield* run("build target=prod")
    const { root } = yield* (yield* Workspace).paths
    const ran = yield* run(`${line} plan save=${root}/plan.json`)
    assert.strictEqual(ran.status, 0, ran.stderr)
  })

/** The second release, in a file. */
const exported = Effect.gen(function* () {
  yield* deployed
  const { root } = yield* (yield* Workspace).paths
  const ran = yield* run(`manage export release=2 file=${root}/my_app.release`)
  assert.strictEqual(ran.status, 0, ran.stderr)
})

const broken = Effect.gen(function* () {
  yield* both
  const host = yield* hostNamed()
  const names = host.files.names(`${prodPath}/releases`).filter((name) => name.startsWith("deployer_"))
  for (const name of names) host.files.write(`${prodPath}/releases/${name}/my_app/version`, "evil")
})

const failing = Effect.gen(function* () {
  yield* deployed
  const host = yield* hostNamed()
  host.onRun = () => ({ output: "no luck\n", exitCode: 7 })
})

const unlinked = Effect.gen(function* () {
  yield* deployed
  const host = yield* hostNamed()
  host.files.remove(`${prodPath}/releases/current`)
})

const occupied = Effect.gen(function* () {
  yield* deployed
  const host = yield* hostNamed()
  host.files.remove(`${prodPath}/releases/current`)
  host.files.write(`${prodPath}/releases/current/index.html`, "theirs")
})

const full = Effect.gen(function* () {
  yield* run("build target=prod")
  const host = yield* hostNamed()
  host.freeBytes = 0
})

type Before = typeof deployed | typeof both | typeof broken | ReturnType<typeof planned>

interface Case {
  /** The preparation; each line has a world of its own. */
  readonly before?: Before
  readonly line: string
}

/** For each task, lines that succeed, each with the tag of its document, and lines that fail, with the tag of the error. */
const cases: Readonly<
  Record<
    string,
    {
      readonly well: Readonly<Record<string, Case>>
      readonly badly: Readonly<Record<string, Case & { readonly status: number }>>
    }
  >
> = {
  init: {
    well: { InitReport: { line: "init" } },
    badly: { AlreadyInitialised: { before: run("init"), line: "init", status: 2 } }
  },
  build: {
    well: { BuildReport: { line: "build target=prod" } },
    badly: { UnknownTarget: { line: "build target=prd", status: 2 } }
  },
  deploy: {
    well: {
      DeployReport: { before: deployed, line: "deploy target=prod yes" },
      SavedPlan: { before: deployed, line: "deploy target=prod plan" },
      RolloutReport: { before: deployed, line: "deploy target=p* yes" },
      RolloutPlan: { before: deployed, line: "deploy target=p* plan" }
    },
    badly: {
      FleetUnfit: { before: full, line: "deploy target=p* yes", status: 1 },
      NoSuchMembers: { line: "deploy group=web yes", status: 2 },
      ReleaseNotFound: { line: "deploy target=prod release=77", status: 2 },
      PromptUnavailable: { before: deployed, line: "deploy target=prod", status: 3 },
      LockHeld: {
        before: Effect.zipRight(deployed, run("lock target=prod reason=x")),
        line: "deploy target=prod yes",
        status: 4
      }
    }
  },
  build_and_deploy: {
    well: { BuildAndDeployReport: { line: "build_and_deploy target=prod" } },
    badly: {
      LockHeld: {
        before: Effect.zipRight(deployed, run("lock target=prod reason=x")),
        line: "build_and_deploy target=prod",
        status: 4
      }
    }
  },
  manage: { well: {}, badly: { NotAsData: { line: "manage", status: 2 } } },
  "manage info": {
    well: {
      StoreInfo: { before: deployed, line: "manage info" },
      ReleaseInfo: { before: deployed, line: "manage info 1" },
      HostInfo: { before: deployed, line: "manage info target=prod" },
      HostReleaseInfo: { before: deployed, line: "manage info target=prod ref=REF" }
    },
    badly: { ReleaseNotFound: { line: "manage info 7", status: 2 } }
  },
  "manage export": {
    well: { Exported: { before: deployed, line: "manage export release=latest file=ROOT/my_app.release" } },
    badly: {
      ReleaseNotFound: { line: "manage export release=7 file=ROOT/my_app.release", status: 2 },
      ReleaseFileExists: { before: exported, line: "manage export release=1 file=ROOT/my_app.release", status: 2 },
      ReleaseNotExported: { before: deployed, line: "manage export release=1 file=ROOT/no/file", status: 1 }
    }
  },
  "manage import": {
    well: { Imported: { before: exported, line: "manage import file=ROOT/my_app.release" } },
    badly: { ReleaseFileInvalid: { line: "manage import file=ROOT/no", status: 2 } }
  },
  "manage prune": {
    well: { Removal: { before: both, line: "manage prune my_app target=prod yes" } },
    badly: {
      WordMissing: { line: "manage prune", status: 2 },
      NameNotFound: { line: "manage prune other", status: 2 }
    }
  },
  "manage delete": {
    well: { Removal: { before: deployed, line: "manage delete 1 yes" } },
    badly: { ReleaseIsCurrent: { before: deployed, line: "manage delete REF target=prod", status: 1 } }
  },
  "manage ln": {
    well: { Linked: { before: both, line: "manage ln REF target=prod" } },
    badly: { NotOnHost: { before: deployed, line: "manage ln FFFF target=prod", status: 2 } }
  },
  "manage pin": {
    well: { Pinned: { before: both, line: "manage pin REF target=prod" } },
    badly: { NotOnHost: { before: deployed, line: "manage pin FFFF target=prod", status: 2 } }
  },
  "manage unpin": {
    well: { Pinned: { before: both, line: "manage unpin REF target=prod" } },
    badly: { WordMissing: { before: deployed, line: "manage unpin target=prod", status: 2 } }
  },
  rollback: {
    well: {
      RollbackReport: { before: both, line: "rollback target=prod" },
      SavedPlan: { before: both, line: "rollback target=prod plan" },
      RolloutReport: { before: both, line: "rollback target=p*" },
      RolloutPlan: { before: both, line: "rollback target=p* plan" }
    },
    badly: { NothingToRollBackTo: { before: deployed, line: "rollback target=prod", status: 1 } }
  },
  apply: {
    well: {
      DeployReport: { before: planned("deploy target=prod"), line: "apply plan=ROOT/plan.json" },
      RollbackReport: { before: planned("rollback target=prod"), line: "apply plan=ROOT/plan.json" }
    },
    badly: {
      PlanStale: {
        before: Effect.zipRight(planned("rollback target=prod"), run("rollback target=prod")),
        line: "apply plan=ROOT/plan.json",
        status: 1
      },
      PlanInvalid: { line: "apply plan=ROOT/plan.json", status: 2 }
    }
  },
  history: {
    well: { HistoryReport: { before: both, line: "history target=prod" } },
    badly: { HostUnfit: { line: "history target=prod", status: 1 } }
  },
  "manage integrity": {
    well: { Integrity: { before: both, line: "manage integrity target=prod" } },
    badly: { IntegrityViolated: { before: broken, line: "manage integrity deep target=prod", status: 1 } }
  },
  "manage adopt": {
    well: { Adopted: { before: occupied, line: "manage adopt target=prod yes" } },
    badly: {
      NothingToAdopt: { before: unlinked, line: "manage adopt target=prod yes", status: 1 },
      PromptUnavailable: { before: occupied, line: "manage adopt target=prod", status: 3 }
    }
  },
  repair: {
    well: {
      RepairReport: { before: unlinked, line: "repair target=prod yes" },
      RepairPlan: { before: unlinked, line: "repair target=prod plan" }
    },
    badly: {
      RepairIncomplete: { before: occupied, line: "repair target=prod yes", status: 1 },
      PromptUnavailable: { before: unlinked, line: "repair target=prod", status: 3 }
    }
  },
  lock: {
    well: { LockReport: { before: deployed, line: "lock target=prod reason=moving" } },
    badly: { UnknownTarget: { line: "lock target=prd reason=x", status: 2 } }
  },
  unlock: {
    well: {
      LockReport: {
        before: Effect.zipRight(deployed, run("lock target=prod reason=x")),
        line: "unlock target=prod yes"
      }
    },
    badly: {
      PromptUnavailable: {
        before: Effect.zipRight(deployed, run("lock target=prod reason=x")),
        line: "unlock target=prod",
        status: 3
      }
    }
  },
  ssh: { well: {}, badly: { NotAsData: { line: "ssh target=prod", status: 2 } } },
  start: {
    well: { ActionReport: { before: deployed, line: "start target=prod" } },
    badly: { ActionFailed: { before: failing, line: "start target=prod", status: 7 } }
  },
  stop: {
    well: { ActionReport: { before: deployed, line: "stop target=prod" } },
    badly: { ActionFailed: { before: failing, line: "stop target=prod", status: 7 } }
  },
  restart: {
    well: { ActionReport: { before: deployed, line: "restart target=prod" } },
    badly: { ActionFailed: { before: failing, line: "restart target=prod", status: 7 } }
  },
  status: {
    well: { StatusReport: { before: deployed, line: "status target=prod" } },
    badly: { StatusBad: { before: unlinked, line: "status target=prod", status: 1 } }
  },
  doctor: {
    well: { DoctorReport: { before: deployed, line: "doctor target=prod" } },
    badly: { DoctorFailed: { before: full, line: "doctor target=prod", status: 1 } }
  },
  exec: {
    well: {
      ExecReport: { before: deployed, line: "exec target=prod uptime" },
      ExecFleet: { before: deployed, line: "exec target=p* uptime" }
    },
    badly: { ExecFailed: { before: failing, line: "exec target=prod uptime", status: 7 } }
  },
  unit: {
    well: { UnitReport: { line: "unit target=prod" } },
    badly: { UnknownTarget: { line: "unit target=prd", status: 2 } }
  },
  validate: {
    well: { ValidateReport: { line: "validate" } },
    badly: { UnknownTarget: { line: "validate target=prd", status: 2 } }
  },
  completions: {
    well: { CompletionScript: { line: "completions zsh" } },
    badly: { UsageError: { line: "completions csh", status: 2 } }
  },
  schema: {
    well: { "": { line: "schema" } },
    badly: { UsageError: { line: "schema of=everything", status: 2 } }
  }
}

/** In a world of its own, with a folder for the files that go to this machine's disk. */
const inWorld = ({ before = Effect.void, line }: Partial<Case>) =>
  Effect.gen(function* () {
    const root = yield* projectFolder
    return yield* Effect.gen(function* () {
      yield* before
      const host = yield* hostNamed()
      return yield* run((line ?? "").replace("REF", currentRef(host) ?? "").replace("ROOT", root))
    }).pipe(Effect.provide(world({ root })))
  })

/** The one document of stdout. */
const documentOf = ({ stdout }: Ran): unknown => {
  assert.match(stdout, /^[^\n]+\n$/)
  return JSON.parse(stdout)
}

/** Fails if a document does not match the published schema of the task. */
const validator = Effect.map(jsonSchema, (published) => {
  const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true })
  ajv.addSchema({ ...published, $id: "deployer" })
  return (task: string, document: unknown) => {
    const validate = ajv.getSchema(`deployer#/$defs/${encodeURIComponent(task)}`)
    assert.isDefined(validate, task)
    assert.isTrue(validate!(document), `${task}: ${JSON.stringify(validate!.errors)}\n${JSON.stringify(document)}`)
  }
})

/** Decoding and encoding a document gives the same document. */
const goesRound = <A, I>(schema: Schema.Schema<A, I>, document: unknown) => {
  const decoded = Schema.decodeUnknownSync(schema, { onExcessProperty: "error" })(document)
  assert.deepEqual<unknown>(JSON.parse(JSON.stringify(Schema.encodeSync(schema)(decoded))), document)
}

describe("json", () => {
  it.scoped("The json flag works like any other flag, and can be off.", () =>
    Effect.gen(function* () {
      for (const word of ["json", "-json", "--json", "json=true", "json=yes"]) {
        for (const line of [`${word} manage info`, `manage ${word} info`, `manage info ${word}`]) {
          assert.deepStrictEqual(Object.keys(documentOf(yield* run(line)) as object), [
            "releases",
            "total",
            "targets",
            "_tag"
          ])
        }
      }
      assert.match((yield* run("manage info json=false")).stdout, /^The store is empty/)
      assert.match((yield* run("json")).stdout, /^\{.*"UsageError"/)
    }).pipe(Effect.provide(world()))
  )

  it.scoped("With json, the document holds the output of start, stop and restart, which also goes to stderr.", () =>
    Effect.gen(function* () {
      yield* deployed
      const ran = yield* run("start target=prod json")
      assert.deepInclude(documentOf(ran), { stdout: "bin/my_app daemon: ok\n", stderr: "", action: "start" })
      assert.include(ran.stderr, "bin/my_app daemon: ok\n")
      const host = yield* hostNamed()
      host.onRun = () => ({ output: `${"x".repeat(100_000)}the end`, exitCode: 3 })
      const failure = Schema.decodeUnknownSync(Failure)(documentOf(yield* run("stop target=prod json")))
      const { stdout } = failure.error
      assert.isTrue(typeof stdout === "string" && stdout.length === 65_536 && stdout.endsWith("the end"))
    }).pipe(Effect.provide(world()))
  )

  it.scoped("With json, a failure holds the report of the work before it.", () =>
    Effect.gen(function* () {
      yield* broken
      const integrity = Schema.decodeUnknownSync(Failure)(
        documentOf(yield* run("manage integrity deep target=prod json"))
      )
      assert.deepInclude(integrity.report, { _tag: "Integrity", target: "prod", removed: [] })
      const host = yield* hostNamed()
      host.failStep("activate", "read-only file system")
      const refused = Schema.decodeUnknownSync(Failure)(documentOf(yield* run("build_and_deploy target=prod json")))
      assert.deepInclude(refused.report, { _tag: "BuildReport" })
    }).pipe(Effect.provide(world()))
  )

  it.scoped("With json, the output of a builder goes to stderr.", () =>
    Effect.gen(function* () {
      const ran = yield* run("build target=prod json")
      assert.strictEqual(ran.status, 1)
      assert.strictEqual(Schema.decodeUnknownSync(Failure)(documentOf(ran)).error._tag, "BuildFailed")
      assert.include(ran.stderr, "from the builder\n")
    }).pipe(
      Effect.provide(
        world({
          config: {
            ...usualConfig,
            builders: { prod: () => Effect.zipRight(Console.log("from the builder"), Effect.fail("no")) }
          }
        })
      )
    )
  )

  it.scoped("With json, deploy asks its questions without writing to stdout.", () =>
    Effect.gen(function* () {
      yield* deployed
      const ran = yield* run("deploy target=prod json", "y")
      assert.lengthOf(ran.asked, 1)
      assert.deepInclude(documentOf(ran), { _tag: "DeployReport" })
    }).pipe(Effect.provide(world()))
  )

  it("Every task of the command line has a json scenario.", () => {
    const missing = tasks.filter((task) => !Object.hasOwn(cases, task))
    assert.deepStrictEqual(missing, [], "Add a scenario for each of these commands to `cases` in this file")
    assert.deepStrictEqual(Object.keys(cases).toSorted(), tasks.toSorted())
    const known: ReadonlyArray<string> = [...Object.keys(reports), ...conversations]
    assert.deepStrictEqual(known.toSorted(), tasks.toSorted())
    for (const [task, { badly, well }] of Object.entries(cases)) {
      assert.isNotEmpty(badly, task)
      const talks = conversations.some((name) => name === task)
      assert.strictEqual(Object.keys(well).length === 0, talks, task)
    }
  })

  for (const [task, { badly, well }] of Object.entries(cases)) {
    it.scoped(`With json, ${task} writes exactly one document, which matches the published schema.`, () =>
      Effect.gen(function* () {
        const check = yield* validator
        for (const [tag, { line, ...world }] of Object.entries(well)) {
          const ran = yield* inWorld({ ...world, line: `${line} json` })
          assert.strictEqual(ran.status, 0, ran.stderr)
          const document = documentOf(ran)
          assert.strictEqual((document as { _tag?: string })._tag ?? "", tag)
          check(task, document)
          const schema = reports[task] ?? assert.fail(task)
          goesRound(schema as Schema.Schema<unknown>, document)
        }
        for (const [tag, { line, status, ...world }] of Object.entries(badly)) {
          const ran = yield* inWorld({ ...world, line: `${line} json` })
          const document = documentOf(ran)
          check(task, document)
          goesRound(Failure, document)
          const failure = Schema.decodeUnknownSync(Failure)(document)
          assert.strictEqual(failure.error._tag, tag)
          assert.strictEqual(failure.exitStatus, status)
          assert.strictEqual(ran.status, status)
          // The output of a command on the host stands alone, without a sentence of ours.
          if (tag !== "ExecFailed") assert.isTrue(ran.stderr.endsWith(`deployer: ${failure.message}\n`), ran.stderr)
          if (failure.report !== undefined) check(task, failure.report)
        }
        // A senseless line gets an answer of the same form.
        const wrong = yield* inWorld({ line: `${task} nonsense=1 json` })
        const failure = Schema.decodeUnknownSync(Failure)(documentOf(wrong))
        assert.strictEqual(wrong.status, 2)
        assert.strictEqual(failure.error._tag, "UsageError")
        assert.strictEqual(failure.exitStatus, 2)
      })
    )
  }
})
