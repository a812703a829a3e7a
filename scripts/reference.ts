/** Writes the pages of docs/reference/ from the sources. `--check` fails if a page is not what would be written. */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import { jsonSchema } from "../src/Cli.ts"
import { commandsPage } from "./reference/commands.ts"
import { configurationPage } from "./reference/configuration.ts"
import { failuresPage } from "./reference/failures.ts"
import { jsonPage } from "./reference/json.ts"

const folder = new URL("../docs/reference/", import.meta.url)

const { $defs } = await Effect.runPromise(jsonSchema)

const pages = {
  "commands.md": commandsPage(),
  "configuration.md": configurationPage(),
  "failures.md": failuresPage(),
  "json.md": jsonPage($defs)
}

fs.mkdirSync(folder, { recursive: true })
for (const [name, text] of Object.entries(pages)) {
  const file = new URL(name, folder)
  if (process.argv[2] !== "--check") fs.writeFileSync(file, text)
  else if (!fs.existsSync(file) || fs.readFileSync(file, "utf8") !== text) {
    console.error(`docs/reference/${name} is not what the sources say: npm run reference`)
    process.exitCode = 1
  }
}
