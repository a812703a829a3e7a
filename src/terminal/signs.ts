/**
 * Signs of verdicts. A colour only repeats what a sign says.
 */

/** The signs, which stand before a verdict. */
export const sign = { good: "✓", bad: "✗", caution: "!", unknown: "?" } as const

const green = "\u001b[32m"
const red = "\u001b[31m"
const yellow = "\u001b[33m"
const end = "\u001b[39m"

const colors: ReadonlyArray<readonly [RegExp, string]> = [
  [/✓(?: [\w-]+)?/g, green],
  [/✗(?: [\w-]+)?/g, red],
  [/(?<=^|\s)! [\w-]+/gm, yellow]
]

/** The text with coloured signs, each with the word after it. */
export const withColor = (text: string): string =>
  colors.reduce((text, [pattern, color]) => text.replace(pattern, (sign) => `${color}${sign}${end}`), text)
