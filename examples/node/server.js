import { createServer } from "node:http"

const answers = {
  "/": [200, "Hello from Node\n"],
  "/health": [200, "well\n"]
}

const server = createServer((request, response) => {
  const [status, text] = answers[request.url] ?? [404, "not found\n"]
  response.writeHead(status, { "content-type": "text/plain" }).end(text)
})

server.listen(Number(process.env.PORT ?? 4000), "127.0.0.1")

// The next release takes over: requests that have begun are answered.
process.on("SIGTERM", () => {
  server.close()
  server.closeIdleConnections()
})
