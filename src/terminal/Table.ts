/**
 * Tables of text that fit the terminal.
 */
import widthOf from "fast-string-width"
import { wrapAnsi } from "fast-wrap-ansi"

/** A table to draw. */
export interface Table {
  readonly head: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
  /** The width of the terminal. Undefined if there is no terminal, 0 if its width is unknown: then nothing is cut. */
  readonly columns?: number | undefined
  /** The index of the column that is cut first. Default: the last one. */
  readonly elastic?: number
  /** Whether cells continue in further lines instead of being cut. Default: no. */
  readonly wraps?: boolean
}

const gap = "  "
const ellipsis = "…"
const narrowest = 6
/** If cells wrap, the elastic column is not made narrower than this, as long as others can be. */
const leastWrapped = 24

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" })

// Text from a host may contain anything, but must not control the terminal.
const printable = (text: string): string => text.replace(/\p{Cc}+/gu, " ")

/** Most cells are plain ASCII, which needs no lookup. */
const stringWidth = (text: string): number => (/^[\x20-\x7e]*$/.test(text) ? text.length : widthOf(text))

/** The text in at most `width` columns. If it is longer, an ellipsis replaces its end. */
export const truncate = (text: string, width: number): string => {
  if (stringWidth(text) <= width) return text
  let cut = ""
  let taken = 0
  for (const { segment } of graphemes.segment(text)) {
    taken += stringWidth(segment)
    if (taken > width - 1) break
    cut += segment
  }
  return width < 1 ? "" : `${cut.trimEnd()}${ellipsis}`
}

const pad = (text: string, width: number): string => text + " ".repeat(Math.max(0, width - stringWidth(text)))

const narrow = (
  widths: ReadonlyArray<number>,
  columns: number,
  elastic: number,
  least: number
): ReadonlyArray<number> => {
  const others = widths.map((_, index) => index).filter((index) => index !== elastic)
  const order = [elastic, ...others.toSorted((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))]
  const total = widths.reduce((sum, width) => sum + width, gap.length * (widths.length - 1))
  const result = [...widths]
  let excess = total - columns
  for (const index of order) {
    const width = result[index] ?? 0
    const less = Math.max(0, Math.min(excess, width - (index === elastic ? least : narrowest)))
    result[index] = width - less
    excess -= less
  }
  return result
}

/** The row in as many lines as its highest cell has. */
const wrapRow = (row: ReadonlyArray<string>, widths: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<string>> => {
  const cells = row.map((cell, index) => {
    const width = Math.max(widths[index] ?? 0, 1)
    return stringWidth(cell) <= width ? [cell] : wrapAnsi(cell, width, { hard: true }).split("\n")
  })
  return Array.from({ length: Math.max(...cells.map(({ length }) => length)) }, (_, line) =>
    cells.map((lines) => lines[line] ?? "")
  )
}

/** The text in lines that fit the columns, each indented. Without columns it is one line. */
export const wrapped = (
  text: string,
  { columns, indent }: { readonly columns: number | undefined; readonly indent: number }
): string => {
  const space = " ".repeat(indent)
  const lines = columns === undefined || columns <= indent ? [text] : wrapAnsi(text, columns - indent).split("\n")
  return lines.map((line) => `${space}${line}`).join("\n")
}

/** The table as lines without a final line break: one per row, with aligned columns and no tabs. */
export const table = ({ elastic, head, rows, wraps = false, ...table }: Table): string => {
  const columns = table.columns === 0 ? undefined : table.columns
  const cells = [head, ...rows].map((row) => head.map((_, index) => printable(row[index] ?? "")))
  const natural = head.map((_, index) => Math.max(...cells.map((row) => stringWidth(row[index] ?? ""))))
  const widths =
    columns === undefined
      ? natural
      : narrow(natural, columns, elastic ?? head.length - 1, wraps ? leastWrapped : narrowest)
  return cells
    .flatMap((row) => (wraps ? wrapRow(row, widths) : [row]))
    .map((row) => {
      const line = row
        .map((cell, index) => pad(truncate(cell, widths[index] ?? 0), widths[index] ?? 0))
        .join(gap)
        .trimEnd()
      return columns === undefined ? line : truncate(line, columns)
    })
    .join("\n")
}

/** Labels with their values, a line each. Rows without a value are left out. */
export const fields = (rows: ReadonlyArray<readonly [string, string | undefined]>): string => {
  const present = rows.filter((row): row is readonly [string, string] => row[1] !== undefined)
  const width = Math.max(...present.map(([label]) => label.length))
  return present.map(([label, value]) => `${label.padEnd(width)}  ${value}`).join("\n")
}
