import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Argv from "../src/Argv.ts"
import { tree } from "../src/Cli.ts"
import * as Help from "../src/process/help.ts"

const { spec } = tree

const tasks = ({ name, tasks: below }: Argv.TaskSpec): ReadonlyArray<ReadonlyArray<string>> => [
  [name],
  ...below.flatMap(tasks).map((path) => [name, ...path])
]

const pages = new Map(tasks(spec).map(([, ...task]) => [Help.keyOf(task), task.join(" ")]))
const found = (...argv: ReadonlyArray<string>) => Help.find(argv, pages)

describe("Help", () => {
  it("The prerendered help answers a line that asks for help and nothing else.", () => {
    for (const argv of [[], ["--help"], ["-h"], ["help"], ["-help"]]) assert.strictEqual(found(...argv), "")
    for (const argv of [
      ["manage", "info", "--help"],
      ["manage", "info", "-h"],
      ["help", "manage", "info"]
    ]) {
      assert.strictEqual(found(...argv), "manage info")
    }
    assert.strictEqual(found("build-and-deploy", "--help"), "build_and_deploy")
  })

  it("The prerendered help leaves every other line to the parser.", () => {
    for (const argv of [
      ["build"],
      ["build", "target=prod", "--help"],
      ["manage", "info", "help"],
      ["manage info", "--help"],
      ["constructor", "--help"],
      ["buidl", "--help"],
      ["--", "--help"],
      ["help", "--help"],
      ["json", "--help"]
    ]) {
      assert.isUndefined(found(...argv), argv.join(" "))
    }
  })

  it("The prerendered help finds the same page as the parser.", () => {
    const words = ["--help", "-h", "help", "-help", ...[...pages.values()].flatMap((task) => task.split(" ")), "yes"]
    for (const first of words) {
      for (const second of words) {
        for (const argv of [[first], [first, second], [first, second, "--help"]]) {
          const page = found(...argv)
          if (page === undefined) continue
          const path = page === "" ? [] : page.split(" ")
          const asked = ["--help", ...path.flatMap((word) => [word, "--help"])]
          assert.deepStrictEqual(Argv.normalize(spec)(argv), Either.right(asked), argv.join(" "))
        }
      }
    }
  })

  it("No prerendered help exists when the program runs from source.", () => {
    assert.isUndefined(Help.find(["--help"]))
  })
})
