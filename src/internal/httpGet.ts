/**
 * One HTTP request over an existing connection.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Duplex } from "./tcp.ts"

/** The answer to a request. */
export interface HttpAnswer {
  readonly status: number
  /** The beginning of the body, if it was requested. */
  readonly body: string
}

/** No answer came, or it was not HTTP. */
export class HttpFailed extends Data.TaggedError("HttpFailed")<{ readonly detail: string }> {}

/** How long the body may take once the status is known, in milliseconds. */
const bodyPatience = 500

/**
 * Requests `url` over `stream`, which is already connected to its host and port. For `https` the certificate is checked. Redirects are not followed.
 * `wantsBody` decides by the status whether to wait for the first `maxBody` characters of the body.
 */
export const httpGet = (
  stream: Duplex,
  url: URL,
  options: { readonly maxBody: number; readonly wantsBody: (status: number) => boolean }
): Effect.Effect<HttpAnswer, HttpFailed> =>
  Effect.gen(function* () {
    const [http, tls] = yield* Effect.promise(() => Promise.all([import("node:http"), import("node:tls")]))
    const host = url.hostname.replace(/^\[|\]$/g, "")
    const secured = () =>
      // A server name must not be an address. An address is only checked against the certificate.
      tls.connect({ socket: stream, host, ...(/^[0-9.]+$|:/.test(host) ? {} : { servername: host }) })
    return yield* Effect.async<HttpAnswer, HttpFailed>((resume) => {
      const fail = (error: Error) => resume(new HttpFailed({ detail: inWords(error) }))
      const connection = url.protocol === "https:" ? secured() : stream
      // A late error without a listener would end the process.
      for (const one of new Set([stream, connection])) one.on("error", fail)
      const request = http.request({
        method: "GET",
        createConnection: () => connection,
        path: `${url.pathname}${url.search}`,
        headers: { host: url.host, connection: "close", accept: "*/*", "user-agent": "deployer" },
        ...(url.username === "" ? {} : { auth: [url.username, url.password].map(decodeURIComponent).join(":") })
      })
      request.on("error", fail)
      request.on("response", (response) => {
        const status = response.statusCode ?? 0
        let body = ""
        const done = () => {
          clearTimeout(timer)
          resume(Effect.succeed({ status, body: body.slice(0, options.maxBody) }))
        }
        const timer = setTimeout(done, bodyPatience)
        if (!options.wantsBody(status)) return done()
        response.setEncoding("utf8")
        response.on("data", (text: string) => {
          body += text
          if (body.length >= options.maxBody) done()
        })
        // An answer that is cut short is still an answer.
        response.on("error", done)
        response.on("end", done)
      })
      request.end()
      return Effect.sync(() => request.destroy())
    }).pipe(Effect.ensuring(Effect.sync(() => stream.destroy())))
  })

const inWords = (error: Error): string =>
  error.message === "socket hang up" ? "it closed the connection without an answer" : error.message
