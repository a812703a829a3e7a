/**
 * Counts words in the comments of src/ that plain English does without, for each 10,000 words of comments: "where" in place of if and when, and "what"
 * in place of a noun. Fails if there are more than the limits.
 */
import { readdirSync, readFileSync } from "node:fs"
import ts from "typescript"

const limits = { where: 8, what: 10 }

const src = new URL("../src/", import.meta.url)

/** The comments of a file, each once. */
const commentsIn = (file) => {
  const text = readFileSync(new URL(file, src), "utf8")
  const found = new Map()
  const visit = (node) => {
    for (const ranges of [
      ts.getLeadingCommentRanges(text, node.getFullStart()),
      ts.getTrailingCommentRanges(text, node.getEnd())
    ])
      for (const { end, pos } of ranges ?? []) found.set(pos, text.slice(pos, end))
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true))
  return [...found.values()].join("\n")
}

const comments = readdirSync(src, { recursive: true })
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".generated.ts"))
  .map(commentsIn)
  .join("\n")

const count = (pattern) => (comments.match(pattern) ?? []).length
const words = count(/[A-Za-z']+/g)

for (const [word, limit] of Object.entries(limits)) {
  const rate = (count(new RegExp(`\\b${word}\\b`, "gi")) / words) * 10_000
  console.log(`"${word}": ${rate.toFixed(1)} for each 10,000 of ${words} words in comments (at most ${limit})`)
  if (rate > limit) process.exitCode = 1
}
