/** The page of the JSON documents, from the reports of the commands. */
import { reports } from "../../src/Cli.ts"
import { fieldTable, tagged } from "./sources.ts"

/** The tags of the documents that a schema describes. */
const tagsOf = (schema: unknown): ReadonlyArray<string> => [
  ...new Set([...JSON.stringify(schema).matchAll(/"_tag":\{[^{}]*"enum":\["(\w+)"\]/g)].map(([, tag = ""]) => tag))
]

/** The text of the page; `$defs` are those of `deployer schema`. */
export const jsonPage = ($defs: Readonly<Record<string, unknown>>): string => {
  const commands = Object.keys(reports).map((name) => {
    const tags = tagsOf($defs[name])
      .concat([...JSON.stringify($defs[name]).matchAll(/"#\/\$defs\/(\w+)"/g)].map(([, tag = ""]) => tag))
      .filter((tag) => tag !== "Failure" && tagged.some((one) => one.name === tag))
    return { name, tags: [...new Set(tags)] }
  })
  const used = tagged.filter(({ name }) => name === "Failure" || commands.some(({ tags }) => tags.includes(name)))
  return [
    "# JSON documents",
    "",
    "Written by `npm run reference` from the reports of the commands. With `json` a command writes one document to standard output: its report, or a `Failure`.",
    "`deployer schema` prints the JSON Schema of all of them.",
    "",
    "| command | document |",
    "|---|---|",
    ...commands.map(
      ({ name, tags }) =>
        `| \`${name}\` | ${tags.map((tag) => `[${tag}](#${tag.toLowerCase()})`).join(", ") || "the JSON Schema itself"} |`
    ),
    "",
    ...used.flatMap(({ doc, fields, name }) => [`## ${name}`, "", doc, "", ...fieldTable(fields), ""])
  ].join("\n")
}
