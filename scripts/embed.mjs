/**
 * Embeds the host's scripts into one module, `src/host/protocol/scripts.generated.ts`: no loader has to know shell files.
 *
 * `. ./lib/x.sh` becomes that file, and `awk -f ./lib/x.awk` the program itself. Comments, blank lines and indentation do not travel, nor do
 * functions that a script does not call. The names of a script's arguments are those of its line `name=$2 other=$3 …`; with `shift` after that,
 * any number of refs follow. `--check` fails if the module is stale.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"

const folder = new URL("../src/host/protocol/scripts/", import.meta.url)
const generated = new URL("../src/host/protocol/scripts.generated.ts", import.meta.url)

const read = (file) => readFileSync(new URL(file, folder), "utf8")

/** A line that travels, without its text for readers; nothing for any other. */
const bare = (line) => {
  // No blank is needed before the end of a case's branch.
  const text = line.trimStart()
  return text === "" || /^#( |!|$)/.test(text) ? [] : [text]
}

const awk = (file) => read(file).split("\n").flatMap(bare).join("\n")

/** The lines of a script with all that it includes, each file once. */
const lines = (file, seen = new Set()) =>
  read(file)
    .split("\n")
    .flatMap((line) => {
      const [, include] = /^\. \.\/(lib\/[a-z-]+\.sh)$/.exec(line) ?? []
      if (include === undefined)
        return [line.replace(/awk -f \.\/(lib\/[a-z-]+\.awk)/, (_, program) => `awk '${awk(program)}'`)]
      return seen.has(include) ? [] : lines(include, seen.add(include))
    })

/** A function as the scripts write them: from its name at the beginning of a line to its brace at the beginning of one. */
const definition = /^([a-z_]+)\(\) (?:[{(].*[})]|[{(]\n(?:(?![})]$).*\n)*[})])\n/gm

const withoutUnused = (text) => {
  const less = text.replaceAll(definition, (whole, name) =>
    text.split(new RegExp(`\\b${name}\\b`)).length > 2 ? whole : ""
  )
  return less === text ? text : withoutUnused(less)
}

const embedded = (file) =>
  withoutUnused(
    lines(file)
      .filter((line) => bare(line).length > 0)
      .map((line) => `${line}\n`)
      .join("")
  )
    .split("\n")
    .flatMap(bare)
    // A blank before the end of a case means nothing.
    .map((line) => `${line.replaceAll(/ ;;( (?=esac\b))?/g, ";;")}\n`)
    .join("")

/** The names of a script's arguments after the path, and whether refs follow. */
const argumentsOf = (file) => {
  const own = read(file).split("\n")
  const line = own.find((line) => /^[a-z]+=\$2( [a-z]+=\$\{?[0-9]+\}?)*$/.test(line)) ?? ""
  const args = [...line.matchAll(/([a-z]+)=\$\{?([0-9]+)\}?/g)].map(([, name, position], index) => {
    if (Number(position) !== index + 2)
      throw new Error(`${file}: ${name} is argument ${position} in place ${index + 2}`)
    return name
  })
  const others = own
    .filter((line) => line !== line.trimStart() || !line.startsWith("#"))
    .join("\n")
    .replace(line, "")
  if (/\$(?:[2-9]|\{(?:[2-9]|1[0-9]))/.test(others.replaceAll(/\$\(set -- .*\)/g, "")))
    throw new Error(`${file}: it uses an argument without a name`)
  const takesRefs = own.includes(args.length === 0 ? "shift" : `shift ${args.length + 1}`)
  return { args, takesRefs, isFenced: /^\. \.\/lib\/(fenced|guarded)\.sh$/m.test(read(file)) }
}

/** A script's own comment, as a doc comment. */
const headOf = (file) => {
  const lines = read(file).split("\n")
  return lines
    .slice(
      0,
      lines.findIndex((line) => !line.startsWith("#"))
    )
    .map((line) => ` * ${line.slice(2)}`.trimEnd())
    .join("\n")
}

const scripts = readdirSync(folder).filter((file) => file.endsWith(".sh"))
const module = [
  "/** Written by scripts/embed.mjs from scripts/*.sh: change those, and run `npm run embed`. */",
  ...scripts.flatMap((file) => [
    "",
    `/**\n${headOf(file)}\n */`,
    `export const ${file.slice(0, -3)} = {`,
    ...Object.entries({ name: file.slice(0, -3), ...argumentsOf(file), text: embedded(file) }).map(
      ([key, value]) => `  ${key}: ${JSON.stringify(value)},`
    ),
    "} as const"
  ]),
  ""
].join("\n")

// A build that looks for sources newer than dist does nothing then.
const isFresh = existsSync(generated) && readFileSync(generated, "utf8") === module
if (process.argv[2] !== "--check") {
  if (!isFresh) writeFileSync(generated, module)
} else if (!isFresh) {
  console.error("src/host/protocol/scripts.generated.ts is older than its shell files: npm run embed")
  process.exitCode = 1
}
