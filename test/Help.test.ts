import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Argv from "../src/Argv.ts"
import { plain } from "../src/internal/color.ts"
import { helpPage } from "../src/process/helpPage.ts"
import { quickAnswer } from "../src/process/quick.ts"
import { summary, type TaskSpec } from "../src/Spec.ts"
import { tree } from "../src/tree.ts"
import { wordsOf } from "./kit/pages.ts"

const { spec } = tree

const named = (task: TaskSpec, above: ReadonlyArray<string> = []): ReadonlyArray<readonly [string, TaskSpec]> =>
  task.tasks.flatMap((child) => {
    const path = [...above, child.name]
    return [[path.join(" "), child] as const, ...named(child, path)]
  })
const tasks = named(spec)
const pathOf = (name: string) => name.split(" ").filter((word) => word !== "")

const page = (name: string, columns?: number) => helpPage(spec, pathOf(name), { columns, color: false }) ?? ""
const titleOf = (text: string | undefined) => text?.split("\n")[0]
const title = (...argv: ReadonlyArray<string>) => titleOf(quickAnswer(argv, { color: false }, spec))
const program = "deployer COMMAND key=value … flag …"

describe("a page of help", () => {
  it("Every page fits the terminal and one screen.", () => {
    for (const columns of [80, 120]) {
      for (const [name] of [["", spec] as const, ...tasks]) {
        const lines = page(name, columns).split("\n")
        assert.isAtMost(Math.max(...lines.map((line) => line.length)), columns, name)
        assert.isBelow(lines.length, name === "" ? 44 : 40, name)
        assert.notInclude(lines.join("\n"), "\u00a0")
      }
    }
  })

  it("A page is 80 columns wide if the width is unknown, and never wider than 120.", () => {
    for (const [columns, same] of [
      [undefined, 80],
      [0, 80],
      [400, 120],
      [1, 40]
    ] as const) {
      assert.strictEqual(page("deploy", columns), page("deploy", same))
    }
    assert.notStrictEqual(page("deploy", 80), page("deploy", 120))
  })

  it("Every page has at least two examples, and the parser accepts each of them.", () => {
    for (const [name, { examples = [] }] of tasks) {
      assert.isAtLeast(examples.length, 2, name)
      for (const example of examples) {
        assert.include(page(name), `\n  ${example}\n`)
        const [, line = ""] = /deployer ([^>)"]*(?:"[^"]*")?)/.exec(example) ?? []
        Either.match(Argv.normalize(spec)(wordsOf(line.trim())[0] ?? []), {
          onLeft: ({ message }) => assert.fail(`${example}: ${message}`),
          onRight: (tokens) => assert.include(` ${tokens.join(" ")} `, ` ${name} `, example)
        })
      }
    }
  })

  it("A page names each option once, as people write it.", () => {
    const lines = page("deploy").split("\n")
    assert.strictEqual(lines[0], "deployer deploy")
    assert.include(
      page("deploy", 120),
      "\n  deployer deploy [target=T] [group=G] [except=T] [where=L:V] [canary=N] [batch=N] [spread=L] [soak=TIME]\n"
    )
    assert.include(lines, "  yes              answers the safe questions, for scripts")
    assert.include(page("exec", 120), "\n  deployer exec [target=T] [group=G] [except=T] [where=L:V] -- COMMAND\n")
    assert.include(page("init"), "\n  deployer init [force_init] [yes]\n")
    assert.include(page("manage ln"), "(the key ref= can be omitted)".split(" ")[0] ?? "")
    assert.include(lines, "With every command: root=DIR, json, verbose, log=FILE. See deployer --help")
  })

  it("The page of the program has one line for each command below the command's group.", () => {
    const text = page("")
    for (const task of spec.tasks) {
      assert.match(summary(task), /^[A-Z].*\.$/)
      assert.match(text, new RegExp(`\n  ${task.name} +${summary(task).replace(/[.()/]/g, "\\$&")}\n`))
    }
    const groups = ["build and deploy", "look", "go back", "repair", "operate", "manager"]
    const places = groups.map((group) => text.indexOf(`\n${group}\n`))
    assert.deepStrictEqual(
      places,
      places.toSorted((a, b) => a - b)
    )
    assert.isAbove(places[0] ?? -1, 0)
    assert.include(text, "\n  root=DIR ")
    assert.include(text, "\n  --version ")
  })

  it("The page of a command with subcommands has one line for each.", () => {
    const text = page("manage")
    for (const [name] of tasks.filter(([name]) => name.startsWith("manage "))) {
      assert.match(text, new RegExp(`\n  ${name.replace("manage ", "")} +[A-Z]`))
    }
  })

  it("Headings are bold if the terminal has colours.", () => {
    const bold = helpPage(spec, ["deploy"], { color: true }) ?? ""
    assert.match(bold, /^\u001b\[1mdeployer deploy\u001b\[22m\n/)
    assert.strictEqual(plain(bold), page("deploy"))
  })
})

describe("a quick answer", () => {
  it("A line that asks for help and nothing else is answered without the parser.", () => {
    for (const argv of [[], ["--help"], ["-h"], ["help"], ["-help"]]) assert.strictEqual(title(...argv), program)
    for (const argv of [
      ["manage", "info", "--help"],
      ["manage", "info", "-h"],
      ["help", "manage", "info"]
    ]) {
      assert.strictEqual(title(...argv), "deployer manage info")
    }
    assert.strictEqual(title("build-and-deploy", "--help"), "deployer build_and_deploy")
  })

  it("Every other line is left to the parser.", () => {
    for (const argv of [
      ["build"],
      ["build", "target=prod", "--help"],
      ["manage", "info", "help"],
      ["manage info", "--help"],
      ["constructor", "--help"],
      ["buidl", "--help"],
      ["--", "--help"],
      ["help", "--help"],
      ["json", "--help"],
      ["completions"],
      ["completions", "csh"],
      ["completions", "bash", "json"]
    ]) {
      assert.isUndefined(title(...argv), argv.join(" "))
    }
  })

  it("The quick answer is the page that the parser finds.", () => {
    const all = ["--help", "-h", "help", "-help", ...tasks.flatMap(([name]) => pathOf(name)), "yes"]
    for (const first of all) {
      for (const second of all) {
        for (const argv of [[first], [first, second], [first, second, "--help"]]) {
          const found = title(...argv)
          if (found === undefined) continue
          const path = found === program ? [] : pathOf(found).slice(1)
          assert.deepStrictEqual(Argv.normalize(spec)(argv), Either.right(["--help", ...path]), argv.join(" "))
        }
      }
    }
  })

  it("From source, no description is embedded and the parser answers.", () => {
    assert.isUndefined(quickAnswer(["--help"], { color: false }))
  })
})
