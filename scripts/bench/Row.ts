/**
 * The report of the benchmark: a row for each figure, with its limit.
 */

/** One figure, measured several times. */
export interface Row {
  readonly line: string
  /** Of deployer, one value a round. */
  readonly ours: ReadonlyArray<number>
  /** Of the rival, in the same rounds. */
  readonly theirs?: ReadonlyArray<number>
  readonly unit: string
  /** In words; empty if the figure is only for comparison. */
  readonly target: string
  readonly reached: boolean
  readonly note?: string
  /** Of the ratio if there is a rival, of the figure otherwise. */
  readonly limit?: number
  /** The reason why there is nothing to compare with here: such a line counts as not measured, and not as missed. */
  readonly missing?: string
}

/** NaN if there are none. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? Number.NaN
  return Number.isInteger(middle) ? (upper + (sorted[middle - 1] ?? Number.NaN)) / 2 : upper
}

/** The median of the ratios pair by pair. */
export const ratioOf = ({ ours, theirs }: Pick<Row, "ours" | "theirs">): number | undefined =>
  theirs === undefined ? undefined : median(ours.map((value, round) => value / (theirs[round] ?? Number.NaN)))

interface Figures {
  readonly line: string
  readonly unit: string
  readonly ours: ReadonlyArray<number>
  readonly note?: string | undefined
}

const noted = (note: string | undefined) => (note === undefined ? {} : { note })

/** A figure that may be at most so many times another one's. */
export const within = (
  limit: number,
  { note, than, ...figures }: Figures & { readonly theirs: ReadonlyArray<number>; readonly than: string }
): Row => ({
  ...figures,
  ...noted(note),
  target: `at most ${limit}x ${than}`,
  limit,
  reached: (ratioOf(figures) ?? Number.NaN) <= limit
})

/** A figure that may be at most so much. */
export const atMost = (limit: number, { note, ...figures }: Figures): Row => ({
  ...figures,
  ...noted(note),
  target: `at most ${limit} ${figures.unit}`,
  limit,
  reached: median(figures.ours) <= limit
})

/** Figures side by side, without a target. */
export const compared = ({ note, ...figures }: Figures & { readonly theirs: ReadonlyArray<number> }): Row => ({
  ...figures,
  ...noted(note),
  target: "",
  reached: true
})

/** A row that cannot be measured here. */
export const missingRow = (row: {
  readonly line: string
  readonly unit: string
  readonly target: string
  readonly missing: string
  readonly ours?: ReadonlyArray<number>
}): Row => ({ ours: [], ...row, reached: row.target === "" })

/** The verdict on the row, in words. */
export const verdict = (row: Row): string => {
  if (row.missing !== undefined) return `not measured: ${row.missing}`
  if (row.target === "") return "for comparison"
  if (row.ours.length === 0 || Number.isNaN(median(row.ours))) return "not measured"
  const word = row.reached ? "reached" : "not reached"
  if (row.limit === undefined) return word
  const share = (ratioOf(row) ?? median(row.ours)) / row.limit
  if (row.reached) return share < 0.995 ? `${word}, ${Math.round((1 - share) * 100)} % below` : word
  return share < 2 ? `${word}, ${Math.round((share - 1) * 100)} % above` : `${word}, ${figure(share)} times as much`
}

/** A number with three significant digits. */
export const figure = (value: number): string =>
  Number.isNaN(value)
    ? "–"
    : Math.abs(value) >= 100
      ? Math.round(value).toLocaleString("en-US")
      : String(Number(value.toPrecision(3)))
