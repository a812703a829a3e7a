/** Writes the description of the command line as JSON, for the binary. */
import * as Cli from "../src/Cli.ts"

process.stdout.write(JSON.stringify(Cli.tree.spec))
