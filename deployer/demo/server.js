// The demo's application. A version whose name says so is sick.
const { existsSync, readFileSync, rmSync } = require("node:fs")
const { createServer } = require("node:http")

const version = readFileSync("VERSION", "utf8").trim()

createServer((_, response) => {
  response.writeHead(version.endsWith("sick") ? 503 : 200).end(`${version}\n`)
}).listen(Number(process.argv[2]), "127.0.0.1")

process.on("SIGTERM", () => {
  rmSync(`${process.env.DEPLOYER_PATH}/demo.pid`, { force: true })
  process.exit()
})

// It ends with the demo, even if nobody is left to stop it.
setInterval(() => {
  if (!existsSync(process.env.DEPLOYER_PATH)) process.exit()
}, 250)
