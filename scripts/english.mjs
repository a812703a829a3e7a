/**
 * Counts words that plain English does without in the comments of TypeScript, JavaScript and shell files, for each 10,000 words of comments:
 * "where" in place of if and when, and "what" in place of a noun. Fails if a folder has more of them than the limits.
 */
import { readdirSync, readFileSync } from "node:fs"
import ts from "typescript"

const limits = { where: 8, what: 10 }

const folders = ["src", "test", "scripts"]

const root = new URL("../", import.meta.url)

/** The comments of a program in TypeScript or JavaScript, each once. */
const commentsOfProgram = (file, text) => {
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

/** The comments of a shell script that have lines of their own. */
const commentsOfScript = (text) => (text.match(/^\s*#(?!!| shellcheck ).*$/gm) ?? []).join("\n")

const commentsIn = (file) => {
  const text = readFileSync(new URL(file, root), "utf8")
  return file.endsWith(".sh") ? commentsOfScript(text) : commentsOfProgram(file, text)
}

for (const folder of folders) {
  const comments = readdirSync(new URL(folder, root), { recursive: true })
    .filter((file) => /\.(ts|mjs|sh)$/.test(file) && !file.endsWith(".generated.ts"))
    .map((file) => commentsIn(`${folder}/${file}`))
    .join("\n")
  const count = (pattern) => (comments.match(pattern) ?? []).length
  const words = count(/[A-Za-z']+/g)
  for (const [word, limit] of Object.entries(limits)) {
    const rate = (count(new RegExp(`\\b${word}\\b`, "gi")) / words) * 10_000
    console.log(`${folder}: "${word}" ${rate.toFixed(1)} in 10,000 of ${words} words of comments (at most ${limit})`)
    if (rate > limit) process.exitCode = 1
  }
}
