/**
 * Ignore files of build contexts (`.dockerignore`), evaluated as Docker does.
 *
 * The package that others use for this, `@balena/dockerignore` (last release in 2020), takes `Deployer` for `deployer` and reads parentheses
 * differently, so it could call an unsafe store safe.
 */

interface Rule {
  /** Matches whole paths. Undefined if the pattern makes no sense to an engine. */
  readonly matches: RegExp | undefined
  /** `!pattern`: takes paths back in. */
  readonly keeps: boolean
}

/** Returns whether the file with this text keeps a path (relative to the context, `/`-separated) out of the context. */
export const ignoring = (text: string): ((path: string) => boolean) => {
  const rules = text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .flatMap(ruleOf)
  return (path) => {
    const words = path.split("/")
    // A pattern that matches a folder matches everything below it.
    const candidates = words.map((_, index) => words.slice(0, index + 1).join("/"))
    return rules.reduce(
      (ignored, { keeps, matches }) =>
        candidates.some((candidate) => matches?.test(candidate) === true) ? !keeps : ignored,
      false
    )
  }
}

const ruleOf = (line: string): ReadonlyArray<Rule> => {
  const text = line.trim()
  if (line.startsWith("#") || text === "") return []
  const keeps = text.startsWith("!")
  const pattern = cleaned(keeps ? text.slice(1).trim() : text)
  return pattern === "" ? [] : [{ keeps, matches: expressionOf(pattern) }]
}

/** Without `.`, `..`, doubled slashes and the slashes at both ends; the context is the root. */
const cleaned = (pattern: string): string => {
  const kept: Array<string> = []
  for (const word of pattern.split("/")) {
    if (word === "..") kept.pop()
    else if (word !== "" && word !== ".") kept.push(word)
  }
  return kept.join("/")
}

const tokens = /\*\*\/?|\*|\?|\\.|\[[^\]]*\]|./gsu

const expressionOf = (pattern: string): RegExp | undefined => {
  let end = 0
  const source = pattern.replace(tokens, (token, at: number) => {
    end = at + token.length
    if (token.startsWith("**")) return end === pattern.length ? ".*" : "(.*/)?"
    if (token === "*") return "[^/]*"
    if (token === "?") return "[^/]"
    if (token.length > 1 && token.startsWith("[")) return token
    // Engines pass an escaped letter to their regular expressions: `\d` is a digit.
    if (token.length > 1 && token.startsWith("\\")) return /\w/.test(token) ? token : literal(token.slice(1))
    return literal(token)
  })
  try {
    return new RegExp(`^${source}$`, "su")
  } catch {
    // A class such as `[z-a]`: engines refuse the whole file then, and say so themselves.
    return undefined
  }
}

const literal = (character: string): string => character.replace(/[\\^$.*+?()[\]{}|/]/u, "\\$&")
