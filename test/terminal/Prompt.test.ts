import { execFile, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { build } from "esbuild"
import { ctrlC, ctrlD, Prompt, PromptAborted, PromptUnavailable, Script } from "../../src/terminal/Prompt.ts"
import { askAll, type Question } from "../kit/questions.ts"

interface Case {
  readonly questions: ReadonlyArray<Question>
  /** The text that is typed. */
  readonly answers: ReadonlyArray<string>
  /** The answer to each question. */
  readonly expected: ReadonlyArray<string>
}

const yn = { kind: "confirm", initial: true } as const
const ny = { kind: "confirm", initial: false } as const
const line = { kind: "line" } as const
const three = { kind: "select", titles: ["my_app AB12CD34", "my_app 9F9F9F9F", "other 77777777"] } as const
const many = {
  kind: "select",
  titles: Array.from({ length: 200 }, (_, n) => `release ${n} ${"wide ".repeat(40)}`)
} as const

/** Every Prompt behaves like this. The keys are the tests' titles: whole sentences. */
const contract: Readonly<Record<string, Case>> = {
  "The prompt confirms with y, Y, yes and Enter.": {
    questions: [yn, yn, yn, yn, yn],
    answers: ["y", "Y", "yes", "", " YES "],
    expected: ["true", "true", "true", "true", "true"]
  },
  "The prompt does not confirm with n, N, no, or with Enter if that means no.": {
    questions: [yn, yn, yn, ny, ny],
    answers: ["n", "N", "no", "", "y"],
    expected: ["false", "false", "false", "false", "true"]
  },
  "The prompt asks again until it understands the answer.": {
    questions: [yn, three],
    answers: ["perhaps", "1", "n", "0", "4", "my_app", "", "77", "3"],
    expected: ["false", "2"]
  },
  "The prompt takes a choice by its number or by a part of its line.": {
    questions: [three, three, three, many],
    answers: ["2", "9f9f", "other", "200"],
    expected: ["1", "1", "2", "199"]
  },
  "The prompt aborts a choice on \\a.": { questions: [three], answers: ["\\a"], expected: ["PromptAborted"] },
  "The prompt is unavailable for a choice without lines.": {
    questions: [{ kind: "select", titles: [] }],
    answers: [],
    expected: ["PromptUnavailable"]
  },
  "The prompt aborts every question on Ctrl-C.": {
    questions: [yn, three, { kind: "secret" }],
    answers: [ctrlC, ctrlC, ctrlC],
    expected: ["PromptAborted", "PromptAborted", "PromptAborted"]
  },
  "The prompt ends a line on Ctrl-D, and aborts the other questions.": {
    questions: [line, yn, three, { kind: "secret" }],
    answers: [ctrlD, ctrlD, ctrlD, ctrlD],
    expected: ["the end", "PromptAborted", "PromptAborted", "PromptAborted"]
  },
  "The prompt takes secrets and lines unchanged.": {
    questions: [{ kind: "secret" }, { kind: "secret" }, line],
    answers: [" s3 cret ", "", " prune  my_app "],
    expected: [" s3 cret ", "", " prune  my_app "]
  }
}

const scripted = (answers: ReadonlyArray<string>) => Prompt.layerScripted(answers)

describe("Prompt.layerScripted", () => {
  for (const [title, { answers, expected, questions }] of Object.entries(contract)) {
    it.effect(title, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* askAll(questions), expected)
        assert.strictEqual(yield* Effect.flatMap(Script, ({ left }) => left), 0)
      }).pipe(Effect.provide(scripted(answers)))
    )
  }

  it.effect("The scripted prompt fails when its answers are used up, and knows the questions that were asked.", () =>
    Effect.gen(function* () {
      const canAsk = Effect.flatMap(Prompt, ({ canAsk }) => canAsk)
      assert.isTrue(yield* canAsk)
      assert.deepStrictEqual(yield* askAll([yn, yn, line]), ["true", "PromptUnavailable", "PromptUnavailable"])
      assert.isFalse(yield* canAsk)
      assert.deepStrictEqual(yield* Effect.flatMap(Script, ({ asked }) => asked), ["Deploy?", "Deploy?", "> "])
    }).pipe(Effect.provide(scripted(["y"])))
  )
})

describe("Prompt.yes", () => {
  it.effect("The yes prompt answers the safe questions and passes the others on.", () =>
    Effect.gen(function* () {
      const safe: ReadonlyArray<Question> = [{ ...ny, safe: true }, { ...three, safe: 1 }, ny, three, line]
      assert.deepStrictEqual(yield* askAll(safe), ["true", "1", "false", "0", "x"])
      assert.deepStrictEqual(yield* Effect.flatMap(Script, ({ asked }) => asked), ["Deploy?", "Which one?", "> "])
    }).pipe(Effect.provide(Layer.provideMerge(Prompt.yes, scripted(["n", "1", "x"]))))
  )
})

describe("the failures", () => {
  it("The failures of a prompt say how to continue.", () => {
    assert.include(new PromptUnavailable({ question: "Deploy?", hint: "use yes" }).message, '"Deploy?": use yes')
    assert.deepStrictEqual(
      [new PromptUnavailable({ question: "" }).exitStatus, new PromptAborted().exitStatus],
      [3, 130]
    )
  })
})

const missing =
  spawnSync("expect", ["-v"]).status === 0 || process.env["CI"] === "true" ? undefined : "expect not installed"

describe(`Prompt.layer in a terminal${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  let folder = ""
  beforeAll(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "deployer-prompt-"))
    const source = `
      import { spawnSync } from "node:child_process"
      import * as Effect from "effect/Effect"
      import { runMain } from "./src/process/runMain.ts"
      import { Prompt } from "./src/terminal/Prompt.ts"
      import { askAll } from "./test/kit/questions.ts"
      const { questions, child, out } = JSON.parse(process.env.CASE)
      runMain(() => Effect.flatMap(askAll(questions), (answers) => Effect.sync(() => {
        if (child) process.stderr.write("READY ")
        const read = child ? spawnSync("head", ["-n", "1"], { stdio: ["inherit", "pipe", "inherit"], encoding: "utf8" }).stdout.trim() : ""
        process.stdout.write("RESULT" + JSON.stringify(child ? [...answers, read] : answers) + "\\n")
      })).pipe(Effect.provide(Prompt.layer)))`
    await build({
      stdin: { contents: source, resolveDir: path.resolve(import.meta.dirname, "../.."), loader: "ts" },
      outfile: path.join(folder, "ask.mjs"),
      ...{ bundle: true, platform: "node", format: "esm", logLevel: "silent" }
    })
  })
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

  /** Types each answer once a prompt stands; returns the text on the terminal. */
  const inTerminal = (
    { answers, questions }: Pick<Case, "answers" | "questions">,
    options: { readonly child?: boolean; readonly columns?: number; readonly slowly?: boolean } = {}
  ) =>
    new Promise<string>((resolve, reject) => {
      const typing = answers.map((answer) => {
        const keys = [...answer].map((key) => `\\u${key.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")
        const enter = answer === ctrlC || answer === ctrlD ? "" : "\\r"
        return `expect -re {(\\[Y/n\\]|\\[y/N\\]|abort:|Passphrase:|>|READY) (\\x1b\\[[0-9]+G)?$} {} timeout {puts STUCK; exit 1}\n${options.slowly === true ? "send -s" : "send"} "${keys}${enter}"`
      })
      const script = [
        "set timeout 8",
        // Keys that arrive together count as pasted, and then Tab is a character.
        "set send_slow {1 0.02}",
        `set stty_init "cols ${options.columns ?? 80} rows 24"`,
        `spawn -noecho ${process.execPath} ${path.join(folder, "ask.mjs")}`,
        ...typing,
        "expect eof"
      ].join("\n")
      const env = { ...process.env, TERM: "xterm", CASE: JSON.stringify({ questions, child: options.child ?? false }) }
      execFile("expect", ["-c", script], { env, timeout: 15_000 }, (error, stdout) =>
        error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}`))
      )
    })
  const results = (shown: string): unknown => JSON.parse(/RESULT(.*)/.exec(shown)?.[1] ?? "null")

  for (const [title, each] of Object.entries(contract)) {
    it.skipIf(missing !== undefined)(title, async () => {
      assert.deepStrictEqual(results(await inTerminal(each)), each.expected)
    })
  }

  it.skipIf(missing !== undefined)("The prompt shows no secret.", async () => {
    const shown = await inTerminal({ questions: [{ kind: "secret" }], answers: ["open sesame"] })
    assert.strictEqual(shown.split("open sesame").length, 2, "only in the result")
  })

  it.skipIf(missing !== undefined)(
    "The prompt completes with Tab, remembers lines, and drops a begun line on Ctrl-C.",
    async () => {
      const up = "\u001b[A"
      const typed = { questions: [line, line, line], answers: ["pr\t", `garbage${ctrlC}${up}`, "in\t\tfo"] }
      assert.deepStrictEqual(results(await inTerminal(typed, { slowly: true })), [
        "prune my_app",
        "prune my_app",
        "info"
      ])
    }
  )

  it.skipIf(missing !== undefined)("The prompt keeps a list to the width of the terminal.", async () => {
    const shown = await inTerminal({ questions: [many], answers: ["7"] }, { columns: 30 })
    assert.deepStrictEqual(results(shown), ["6"])
    for (const text of shown.split(/\r?\n/).filter((text) => text.includes("release"))) assert.isAtMost(text.length, 30)
  })

  it.skipIf(missing !== undefined)("The prompt leaves stdin to its next reader.", async () => {
    const shown = await inTerminal({ questions: [yn], answers: ["y", "for the child"] }, { child: true })
    assert.deepStrictEqual(results(shown), ["true", "for the child"])
  })

  const piped = (input: "ignore" | "pipe") =>
    new Promise<string>((resolve) => {
      const questions: ReadonlyArray<Question> = [yn, three, { kind: "secret" }, line]
      const env = { ...process.env, CASE: JSON.stringify({ questions, child: false }) }
      const child = spawn(process.execPath, [path.join(folder, "ask.mjs")], { stdio: [input, "pipe", "pipe"], env })
      let shown = ""
      child.stdout?.on("data", (chunk) => (shown += chunk))
      child.on("close", () => resolve(shown))
    })

  it("The prompt asks nothing and waits for nothing without a terminal.", async () => {
    const unavailable = Array.from({ length: 4 }, () => "PromptUnavailable")
    assert.deepStrictEqual(results(await piped("ignore")), unavailable)
    assert.deepStrictEqual(results(await piped("pipe")), unavailable)
  })

  it.effect("The prompt can be interrupted while it asks.", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(Effect.provide(askAll([yn]), Prompt.layer))
      yield* Fiber.interrupt(fiber)
    })
  )
})
