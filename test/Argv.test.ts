import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Argv from "../src/Argv.ts"
import { asWord, flag, type Given, optional, type Task, type TaskOption, value, word } from "../src/commands/Task.ts"
import { treeOf } from "../src/commandTree.ts"
import { tree as deployer } from "../src/tree.ts"
import { UsageError } from "../src/UsageError.ts"

const target = value({ name: "target", description: "" })
const someTarget = optional(target)
const yes = flag({ name: "yes", description: "" })
const wait = optional(value({ name: "wait", description: "", bare: "1h", placeholder: "TIME" }))

/** A tree with the shapes that deployer's own has: global options, flags, nested tasks, words, an alias. */
const tree = (ran: (task: string, values: unknown) => void) => {
  const task = (
    name: string,
    options: Readonly<Record<string, TaskOption<unknown>>>,
    ...tasks: ReadonlyArray<Task<never, never>>
  ) => ({
    name,
    group: "look" as const,
    description: "",
    examples: [],
    options: Object.values(options),
    document: undefined,
    tasks,
    main: (given: Given) =>
      Effect.sync(() =>
        ran(name, Object.fromEntries(Object.entries(options).map(([key, option]) => [key, given(option.name)])))
      )
  })
  return treeOf<never, never>([
    task("init", { forceInit: flag({ name: "force-init", description: "" }) }),
    task("build", { target, envFile: optional(value({ name: "env-file-name", description: "" })), yes }),
    task("completions", { shell: asWord(value({ name: "shell", description: "" })) }),
    task("build_and_deploy", { target, tag: optional(value({ name: "tag", description: "" })), wait }),
    task(
      "manage",
      { target: someTarget },
      task("info", { target: someTarget, ref: word({ name: "ref", description: "" }) }),
      task("prune", { target: someTarget, name: value({ name: "name", description: "" }), yes }),
      task("integrity", { target: someTarget, force: flag({ name: "force", alias: "f", description: "" }) })
    )
  ])
}

const root = tree(() => {}).spec
const normalize = Argv.normalize(root)
const right = (...argv: ReadonlyArray<string>) =>
  Either.match(normalize(argv), {
    onLeft: (error) => assert.fail(`${argv.join(" ")}: ${error.message}`),
    onRight: (tokens) => tokens
  })
const left = (...argv: ReadonlyArray<string>) =>
  Either.match(normalize(argv), {
    onLeft: (error) => error.message,
    onRight: (tokens) => assert.fail(`${argv.join(" ")} became ${tokens.join(" ")}`)
  })

/** The values that the task's handler gets through the real parser. */
const parse = (argv: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    let seen: unknown = "nothing ran"
    const { command } = tree((task, values) => {
      seen = { task, ...(values as object) }
    })
    const tokens = yield* Argv.normalize(root)(argv)
    yield* Command.run(command, { name: "deployer", version: "0" })(["node", "deployer", ...tokens])
    return seen
  }).pipe(Effect.provide(Layer.merge(NodeContext.layer, CliConfig.layer({ isCaseSensitive: true }))))

describe("Argv", () => {
  it("The command line accepts every spelling of a value.", () => {
    for (const spelling of [
      ["target=prod"],
      ["-target=prod"],
      ["--target=prod"],
      ["--target", "prod"],
      ["-target", "prod"]
    ]) {
      assert.deepStrictEqual(right("build", ...spelling), ["build", "--target", "prod"])
    }
    for (const spelling of ["env_file_name=a", "env-file-name=a", "--env_file_name=a", "-env-file-name=a"]) {
      assert.deepStrictEqual(right("build", "target=x", spelling), ["build", "--target", "x", "--env-file-name", "a"])
    }
  })

  it("The command line accepts every spelling of a flag.", () => {
    const on = [
      "force_init",
      "-force_init",
      "--force_init",
      "--force-init",
      "force_init=",
      "force_init=true",
      "force-init=1"
    ]
    for (const spelling of on) assert.deepStrictEqual(right("init", spelling), ["init", "--force-init"])
    for (const spelling of ["force_init=false", "-force_init=false", "--force-init=no"]) {
      assert.deepStrictEqual(right("init", spelling), ["init"])
    }
    assert.deepStrictEqual(right("init", "--force-init", "true"), ["init", "--force-init"])
    assert.deepStrictEqual(right("manage", "integrity", "-f"), ["manage", "integrity", "--force"])
    assert.include(left("init", "force_init=maybe"), "true or false")
  })

  it("A bare option stands for its default value: wait means wait=1h.", () => {
    const line = ["build_and_deploy", "--target", "x", "--wait", "1h"]
    for (const bare of ["wait", "wait=", "-wait", "--wait", "--wait="]) {
      assert.deepStrictEqual(right("build_and_deploy", bare, "target=x"), line, bare)
      assert.deepStrictEqual(right("build_and_deploy", "target=x", bare), line, bare)
      assert.deepStrictEqual(right(bare, "build_and_deploy", "target=x"), line, bare)
    }
    const given = ["build_and_deploy", "--target", "x", "--wait", "5m"]
    for (const spelling of [["wait=5m"], ["-wait=5m"], ["--wait", "5m"]]) {
      assert.deepStrictEqual(right("build_and_deploy", "target=x", ...spelling), given)
    }
    assert.deepStrictEqual(right("build_and_deploy", "--wait", "--target", "x"), line)
    assert.deepStrictEqual(right(...line), line)
  })

  it("The json flag is recognised even on a command line that makes no sense otherwise.", () => {
    const isData = Argv.isData(root)
    for (const line of [
      "json",
      "build json",
      "json build",
      "build target=x -json",
      "build --json target=x",
      "build json=true",
      "build json=no json=yes",
      "biuld json",
      "biuld target=x what=json json",
      "build nonsense=1 json",
      "manage info 3F2A json"
    ]) {
      assert.isTrue(isData(line.split(" ")), line)
    }
    for (const line of [
      "build",
      "build target=json",
      "build --target json",
      "build json=false",
      "manage info ref=json",
      "manage info -- json"
    ]) {
      assert.isFalse(isData(line.split(" ")), line)
    }
  })

  it("A second = in an argument belongs to its value.", () => {
    assert.deepStrictEqual(right("build", "target=a=b"), ["build", "--target", "a=b"])
    assert.deepStrictEqual(right("build", "target==b"), ["build", "--target", "=b"])
  })

  it("A key with two values is rejected, and the last of several flags wins.", () => {
    assert.include(left("build", "target=a", "--target", "b"), '"target" is given twice (a and b): give it once')
    assert.deepStrictEqual(right("build", "target=a", "--target", "a"), ["build", "--target", "a"])
    assert.deepStrictEqual(right("init", "force_init", "force_init=false"), ["init"])
  })

  it("Options may stand anywhere on the command line and still reach their task.", () => {
    assert.deepStrictEqual(right("manage", "yes", "prune", "name=a"), ["manage", "prune", "--name", "a", "--yes"])
    assert.deepStrictEqual(right("root=/p", "build", "target=x"), ["--root", "/p", "build", "--target", "x"])
    assert.deepStrictEqual(right("build", "target=x", "root=/p"), ["--root", "/p", "build", "--target", "x"])
    assert.deepStrictEqual(right("--target", "x", "build"), ["build", "--target", "x"])
    assert.deepStrictEqual(right("build-and-deploy", "target=x"), ["build_and_deploy", "--target", "x"])
  })

  it("Plain words move behind --, and words that are there already stay as they are.", () => {
    assert.deepStrictEqual(right("manage", "info", "A1B2", "target=x"), [
      "manage",
      "info",
      "--target",
      "x",
      "--",
      "A1B2"
    ])
    assert.deepStrictEqual(right("manage", "info", "--", "--help"), ["manage", "info", "--", "--help"])
  })

  it("Help and version can be asked for in every spelling.", () => {
    const help = [[], ["--help"], ["-h"], ["help"], ["-help"], ["--help", "target=x"]]
    for (const argv of help) assert.deepStrictEqual(right(...argv), ["--help"])
    for (const argv of [
      ["build", "--help"],
      ["help", "build"],
      ["build", "nonsense=1", "-h"],
      ["build", "help"]
    ]) {
      assert.deepStrictEqual(right(...argv), ["--help", "build"])
    }
    for (const argv of [["--version"], ["version"], ["build", "--version"]]) {
      assert.deepStrictEqual(right(...argv), ["--version"])
    }
  })

  it("The options of the parser itself are unknown words.", () => {
    for (const key of ["log-level", "wizard", "completions"]) {
      for (const line of [`${key}=debug`, `--${key}`, `--${key}=bash`]) {
        assert.strictEqual(left("init", line), `"init" does not know "${key}". See deployer init --help`, line)
      }
    }
  })

  it("A line without a task names an option that no task has.", () => {
    for (const [line, key] of [
      ["--wizard", "wizard"],
      ["wizard=1", "wizard"],
      ["--log-level trace build", "log-level"],
      ["-v", "v"]
    ] as const) {
      assert.include(left(...line.split(" ")), `"deployer" does not know "${key}". `, line)
    }
    assert.include(left("--completions", "bash"), '"deployer" does not know "completions". Did you mean "completions"?')
    assert.include(left("--target", "x", "biuld"), 'There is no command "biuld"')
  })

  it("A required word can be given with its key or without it.", () => {
    for (const line of ["completions bash", "completions shell=bash", "completions --shell bash"]) {
      assert.match(right(...line.split(" ")).join(" "), /^completions (--shell|--) bash$/)
    }
    assert.strictEqual(left("completions"), '"completions" needs shell=…. See deployer completions --help')
    assert.strictEqual(
      left("completions", "bash", "extra"),
      '"completions" does not know what to do with "extra". See deployer completions --help'
    )
  })

  it("A missing target is named with the known targets, or else with an example.", () => {
    const said = (targets: ReadonlyArray<string>, ...argv: ReadonlyArray<string>) =>
      Either.match(Argv.normalize(deployer.spec, () => targets)(argv), {
        onLeft: ({ message }) => message,
        onRight: () => assert.fail("it was accepted")
      })
    assert.strictEqual(
      said(["prod", "staging"], "status"),
      '"status" needs target=…: prod, staging. See deployer status --help'
    )
    assert.strictEqual(
      said(["prod"], "status"),
      '"status" needs target=…: the only target is prod. See deployer status --help'
    )
    assert.match(said(["prod"], "lock"), /needs target=… and reason=…, as in: deployer lock target=prod reason=/)
  })

  it("One sentence explains each mistake on a command line.", () => {
    assert.include(left("setup"), 'There is no command "setup". Did you mean "init"?')
    assert.include(left("biuld", "target=x"), 'There is no command "biuld". Did you mean "build"?')
    assert.include(left("manage", "prne"), 'Did you mean "prune"?')
    assert.include(left("build", "traget=prod"), '"build" does not know "traget". Did you mean "target=prod"?')
    assert.include(left("build", "target=x", "--yess"), 'Did you mean "yes"?')
    for (const argv of [
      ["target"],
      ["target="],
      ["--target"],
      ["--target="],
      ["--target", "--yes"],
      ["target", "yes"]
    ]) {
      assert.include(left("build", ...argv), '"target" needs a value: target=…')
    }
    assert.include(left("build"), '"build" needs target=…. See deployer build --help')
    assert.include(left("build", "prod"), 'Did you mean "target=prod"?')
    assert.include(left("init", "prod"), '"prod"')
    assert.include(left("build", "---target=x"), "target=")
    assert.include(left("target=x"), "Name a command")
    assert.include(left("prune", "target=x"), 'There is no command "prune". Did you mean "manage prune"?')
    assert.include(
      left("tag", "target=x"),
      '"tag" is not a command, but an option of build_and_deploy, as in: deployer build_and_deploy … tag'
    )
    assert.notInclude(left("build", "target=x", "nonsense"), "target=nonsense")
    assert.strictEqual(new UsageError({ message: "" }).exitStatus, 2)
  })

  it.effect("Values that look like options, flags or task names reach their task unchanged.", () =>
    Effect.gen(function* () {
      const values = [
        "-x",
        "--yes",
        "--",
        "--help",
        "-h",
        "build",
        "prune",
        "a=b",
        "--target=x",
        "true",
        " a ",
        "--no such",
        "é",
        "x\ny"
      ]
      for (const value of values) {
        assert.deepEqual(
          yield* parse(["build", `target=${value}`]),
          { task: "build", target: value, envFile: undefined, yes: undefined },
          value
        )
        assert.deepEqual(yield* parse(["manage", `target=${value}`]), {
          ...{ task: "manage", target: value }
        })
        const pruned = { task: "prune", target: value, name: "n", yes: "" }
        assert.deepEqual(yield* parse(["manage", "prune", `target=${value}`, "name=n", "yes", `root=${value}`]), pruned)
      }
      assert.deepEqual(yield* parse(["build", "--target", "-x"]), {
        ...{ task: "build", target: "-x", envFile: undefined, yes: undefined }
      })
      assert.deepEqual(yield* parse(["manage", "info", "--", "--help"]), {
        ...{ task: "info", target: undefined, ref: "--help" }
      })
    })
  )

  const words = FastCheck.constantFrom(
    ..."build init manage prune info integrity build_and_deploy target yes force_init tag root help version".split(" "),
    ...["-f", "-h", "--", "-", "=", "--=", "---x", "", "prod", "true", "completions", "--completions", "bash", "-x"]
  )
  const token = FastCheck.oneof(
    words,
    FastCheck.tuple(
      FastCheck.constantFrom("", "-", "--", "---"),
      words,
      FastCheck.constantFrom("", "="),
      FastCheck.oneof(words, FastCheck.fullUnicodeString())
    ).map((parts) => parts.join("")),
    FastCheck.fullUnicodeString()
  )
  const argv = FastCheck.array(token, { maxLength: 8 })

  it.prop("Normalizing any command line a second time changes nothing.", [argv], ([argv]) => {
    Either.map(normalize(argv), (tokens) => {
      assert.deepStrictEqual(normalize(tokens), Either.right(tokens))
    })
  })

  const value = FastCheck.oneof(words, FastCheck.fullUnicodeString()).filter((value) => value !== "")
  it.prop("Any value means the same in every spelling with =.", [value], ([value]) => {
    const [first, ...others] = ["target", "-target", "--target"].map((key) => normalize(["build", `${key}=${value}`]))
    assert.isTrue(Either.isRight(first!))
    for (const other of others) assert.deepStrictEqual(other, first)
  })

  it.effect.prop("Any value reaches its task unchanged.", [value], ([value]) =>
    Effect.map(parse(["build", `target=${value}`]), (seen) =>
      assert.deepEqual(seen, { task: "build", target: value, envFile: undefined, yes: undefined })
    )
  )
})
