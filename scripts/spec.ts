/** Writes the description of the command line as JSON, for the binary. */
import { tree } from "../src/tree.ts"

process.stdout.write(JSON.stringify(tree.spec))
