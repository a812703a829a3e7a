/**
 * Colours, and whether a stream may be given them.
 */

/** The settings that decide; `process.env` has them. */
export interface Environment {
  readonly NO_COLOR?: string | undefined
  readonly FORCE_COLOR?: string | undefined
  readonly TERM?: string | undefined
}

/** `NO_COLOR` (not empty) wins, then `FORCE_COLOR` (0 and false: none), then whether it is a terminal that is not dumb. */
export const hasColor = (stream: { readonly isTTY?: boolean | undefined }, env: Environment): boolean => {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== "") return false
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== "0" && env.FORCE_COLOR !== "false"
  return stream.isTTY === true && env.TERM !== "dumb"
}

/** The text without colours. */
export const plain = (text: string): string => text.replace(/\u001b\[[0-9;]*m/g, "")
