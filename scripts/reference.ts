/** Writes the pages of docs/reference/, the list in docs/commands.md and the types for editors from the sources. `--check` fails if one is stale. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import { jsonSchema } from "../src/Cli.ts"
import { commandsPage, withList } from "./reference/commands.ts"
import { configurationPage } from "./reference/configuration.ts"
import { editorTypesModule } from "./reference/editorTypes.ts"
import { failuresPage } from "./reference/failures.ts"
import { jsonPage } from "./reference/json.ts"

const folder = new URL("../docs/reference/", import.meta.url)

const { $defs } = await Effect.runPromise(jsonSchema)

const pages = {
  "commands.md": commandsPage(),
  "configuration.md": configurationPage(),
  "failures.md": failuresPage(),
  "json.md": jsonPage($defs),
  "../commands.md": withList(fs.readFileSync(new URL("../commands.md", folder), "utf8")),
  "../../src/workspace/editorTypes.generated.ts": editorTypesModule()
}

fs.mkdirSync(folder, { recursive: true })
for (const [name, text] of Object.entries(pages)) {
  const file = new URL(name, folder)
  if (process.argv[2] !== "--check") fs.writeFileSync(file, text)
  else if (!fs.existsSync(file) || fs.readFileSync(file, "utf8") !== text) {
    console.error(`${path.join("docs/reference", name)} is stale: run npm run reference, and commit its changes`)
    process.exitCode = 1
  }
}
