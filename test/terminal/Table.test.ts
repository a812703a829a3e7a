import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import stringWidth from "fast-string-width"
import { table, truncate } from "../../src/terminal/Table.ts"

const head = ["Id", "Name", "Path"]
const rows = [
  ["1", "my_app", "/srv/my_app/releases"],
  ["12", "другое", "~/日本語/アプリ"]
]

describe("Table", () => {
  it("A column that wraps is never cut, and its further lines stand below it.", () => {
    const lines = table({
      head: ["When", "Why"],
      rows: [["2026-01-02 03:04:05", "it was not healthy within twenty seconds, and nobody knows why"]],
      columns: 50,
      wraps: true
    }).split("\n")
    assert.isTrue(lines.every((line) => line.length <= 50))
    assert.isTrue(lines.slice(2).every((line) => line.startsWith(" ".repeat(21))))
    assert.strictEqual(
      lines
        .slice(1)
        .map((line) => line.slice(21))
        .join(" "),
      "it was not healthy within twenty seconds, and nobody knows why"
    )
  })

  it("If cells wrap, no column is cut: a narrow one continues below too.", () => {
    const lines = table({
      head: ["When (UTC)", "Release", "What", "By", "Why"],
      rows: [
        ["2026-01-02 03:04:05", "shop 15364CC7", "unpacked and verified", "me@desk", "it was not healthy in time"]
      ],
      columns: 80,
      wraps: true
    }).split("\n")
    assert.deepStrictEqual(lines, [
      "When (UTC)           Release        What       By       Why",
      "2026-01-02 03:04:05  shop 15364CC7  unpacked   me@desk  it was not healthy in",
      "                                    and                 time",
      "                                    verified"
    ])
  })

  it("A table aligns columns by their visible width, without blanks at the ends.", () => {
    assert.deepStrictEqual(table({ head, rows }).split("\n"), [
      "Id  Name    Path",
      "1   my_app  /srv/my_app/releases",
      "12  другое  ~/日本語/アプリ"
    ])
  })

  it("A table cuts the elastic column first, and leaves the others whole while it can.", () => {
    assert.deepStrictEqual(table({ head, rows, columns: 24 }).split("\n"), [
      "Id  Name    Path",
      "1   my_app  /srv/my_app…",
      "12  другое  ~/日本語/ア…"
    ])
    const [, first] = table({
      head: ["Path", "Ref"],
      rows: [["/srv/my_app/releases", "ABCD1234"]],
      columns: 20,
      elastic: 0
    }).split("\n")
    assert.strictEqual(first, "/srv/my_a…  ABCD1234")
  })

  it("A table cuts nothing if there is no terminal.", () => {
    const long = "x".repeat(500)
    for (const columns of [undefined, 0]) assert.include(table({ head: ["A"], rows: [[long]], columns }), long)
  })

  it("A table lets no cell control the terminal or break the line.", () => {
    const drawn = table({ head: ["A", "B"], rows: [["\u001b[2Jx\r\n", "a\tb"]] })
    assert.deepStrictEqual(drawn.split("\n"), ["A       B", " [2Jx   a b"])
    assert.notMatch(drawn, /[\u0000-\u0009\u000b-\u001f]/)
  })

  const cell = FastCheck.fullUnicodeString({ maxLength: 30 })
  it.prop(
    "A table keeps to any width.",
    [FastCheck.array(FastCheck.tuple(cell, cell, cell), { maxLength: 5 }), FastCheck.integer({ min: 1, max: 60 })],
    ([rows, columns]) => {
      const lines = table({ head, rows, columns }).split("\n")
      assert.strictEqual(lines.length, rows.length + 1)
      for (const line of lines) assert.isAtMost(stringWidth(line), columns)
    }
  )

  it.prop(
    "A text is truncated only if it is too wide.",
    [cell, FastCheck.integer({ min: 1, max: 40 })],
    ([text, width]) => {
      if (stringWidth(text) <= width) assert.strictEqual(truncate(text, width), text)
      else assert.isTrue(truncate(text, width).endsWith("…"))
    }
  )
})
