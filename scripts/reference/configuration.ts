/** The page of the config, from the schemas and their doc comments. */
import { fieldsOfValue, fieldTable } from "./sources.ts"

const part = (title: string, about: string, schema: string): ReadonlyArray<string> => {
  const fields = fieldsOfValue(schema)
  const bare = fields.filter(({ doc }) => doc === "").map(({ name }) => name)
  if (bare.length > 0) throw new Error(`${schema} has fields without a doc comment: ${bare.join(", ")}`)
  return [`## ${title}`, "", about, "", ...fieldTable(fields), ""]
}

/** The text of the page. */
export const configurationPage = (): string =>
  [
    "# Configuration reference",
    "",
    "Written by `npm run reference` from the schemas that check a config. [Configuration](../configuration.md) tells how they work together.",
    "",
    ...part("`targets.<key>`", "A place on a host that holds the releases of one name.", "targetFields"),
    ...part("`targets.<key>.health`", "One of `command`, `http` and `tcp`.", "Health"),
    ...part("`targets.<key>.timeouts`", "Bounded waits.", "Timeouts"),
    ...part("`docker(…)`", "A builder: an image, and the release in it.", "DockerSettings"),
    ...part("`command(…)`", "A builder: a command on this machine.", "CommandSettings")
  ].join("\n")
