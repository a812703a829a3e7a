#!/usr/bin/env node
/**
 * The process: the command line goes in, a report and an exit status come out.
 */
import process from "node:process"
import { hasColor } from "./internal/color.ts"
import { loadProgram } from "./process/loadProgram.ts"
import { tooOld } from "./process/nodeVersion.ts"
import { version } from "./Version.ts"

const argv = process.argv.slice(2)

// With a umask that denies the owner, deployer could not read its own files again.
process.umask(process.umask(0o077) & 0o077)

/** Prints text without loading anything else: scripts often request the version, and people the help. */
const print = (what: string, text: string) => {
  process.stdout.on("error", ({ message }) => {
    // A closed reader is no failure.
    if (message.includes("EPIPE")) return
    process.stderr.write(`deployer: The ${what} could not be written to standard output: ${message}\n`)
    process.exitCode = 1
  })
  process.stdout.write(text)
}

const run = () => loadProgram().then(({ keepCode, main }) => main(argv, keepCode))

/** Lines that may have an answer without the commands. */
const mayBeQuick =
  /^(-{0,2}help|-h|completions)$/.test(argv[0] ?? "help") || /^(--?help|-h)$/.test(argv[argv.length - 1] ?? "")

if (tooOld !== undefined) {
  process.stderr.write(`deployer: ${tooOld}\n`)
  process.exitCode = 1
} else if (argv.length === 1 && /^-{0,2}version$/.test(argv[0] ?? "")) {
  print("version", `${version}\n`)
} else if (argv[0] === "complete" && argv[3] === "--") {
  import("./process/completer.ts").then(({ completed }) =>
    process.stdout.write(completed(argv.slice(1), process.argv[1] ?? ""))
  )
} else if (mayBeQuick) {
  import("./process/quick.ts").then(({ quickAnswer }) => {
    const color = hasColor(process.stdout, process.env)
    const text = quickAnswer(argv, { columns: process.stdout.columns, color })
    return text === undefined ? run() : print("help", text)
  })
} else {
  run()
}
