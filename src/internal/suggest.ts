/**
 * "Did you mean": the known word that a mistyped one most likely stands for.
 */

const normal = (word: string): string => word.toLowerCase().replaceAll("_", "-")

/** How many letters must be inserted, removed, replaced or swapped with a neighbour to make one word the other. */
export const distance = (from: string, to: string): number => {
  const a = [...from]
  const b = [...to]
  let beforeLast: ReadonlyArray<number> = []
  let last: ReadonlyArray<number> = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (const [i, letter] of a.entries()) {
    const row = [i + 1]
    for (const [j, other] of b.entries()) {
      const replaced = (last[j] ?? 0) + (letter === other ? 0 : 1)
      const swapped =
        i > 0 && j > 0 && letter === b[j - 1] && a[i - 1] === other ? (beforeLast[j - 1] ?? 0) + 1 : replaced
      row.push(Math.min((last[j + 1] ?? 0) + 1, (row[j] ?? 0) + 1, replaced, swapped))
    }
    beforeLast = last
    last = row
  }
  return last[b.length] ?? 0
}

/**
 * The nearest of the known words, or undefined if none is near. Near means: one mistake, or one in three letters of the longer word, yet never every
 * letter of the shorter one; or the only known word with this beginning (two letters or more). Case is ignored, `_` and `-` are the same. Of equally
 * near ones the first is taken.
 */
export const suggest = (word: string, known: Iterable<string>): string | undefined => {
  const typed = normal(word)
  const words = [...known]
  let best: { readonly word: string; readonly mistakes: number } | undefined
  for (const candidate of words) {
    const other = normal(candidate)
    const mistakes = distance(typed, other)
    const allowed = Math.max(1, Math.floor(Math.max(typed.length, other.length) / 3))
    const near = mistakes <= allowed && mistakes < Math.min(typed.length, other.length)
    if ((near || mistakes === 0) && (best === undefined || mistakes < best.mistakes))
      best = { word: candidate, mistakes }
  }
  if (best !== undefined) return best.word
  const longer = words.filter((candidate) => typed.length >= 2 && normal(candidate).startsWith(typed))
  return longer.length === 1 ? longer[0] : undefined
}

/** ` (known: a, b; did you mean "a"?)` for the end of a sentence; says so if nothing is known. */
export const knownWords = (word: string, known: ReadonlyArray<string>): string => {
  const meant = suggest(word, known)
  const question = meant === undefined ? "" : `; did you mean "${meant}"?`
  return known.length === 0 ? " (there are none)" : ` (known: ${known.join(", ")}${question})`
}
