#!/usr/bin/env node
/**
 * The process: the command line goes in, a report and an exit status come out.
 */
import process from "node:process"
import { keepHeapSmall } from "./internal/heap.ts"
import { version } from "./Version.ts"

const argv = process.argv.slice(2)

// Scripts ask for the version often; nothing else is loaded for it.
if (argv.length === 1 && /^-{0,2}version$/.test(argv[0] ?? "")) {
  process.stdout.on("error", ({ message }) => {
    // A reader that went away is no failure.
    if (message.includes("EPIPE")) return
    process.stderr.write(`deployer: The version could not be written to standard output: ${message}\n`)
    process.exitCode = 1
  })
  process.stdout.write(`${version}\n`)
} else {
  keepHeapSmall()
  import("./internal/program.ts").then(({ main }) => main(argv))
}
