/**
 * Probes: whether something answers on the network, as seen from the host.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { httpGet } from "../internal/httpGet.ts"
import { clean } from "./protocol/reply.ts"
import type { HostUnreachable, Probe, Probed } from "./RemoteHost.ts"
import type { DialFailed, Endpoint } from "./transport/Endpoint.ts"
import type { Transport } from "./transport/Transport.ts"

/** Characters of a body that are shown. */
const maxBody = 1000

/** Probes once, within `timeout`. Only a lost connection to the host is a failure. */
export const runProbe = (
  transport: Transport,
  address: string,
  probe: Probe,
  timeout: Duration.Duration
): Effect.Effect<Probed, HostUnreachable> => {
  const attempt = probe._tag === "Tcp" ? tcp(transport, probe) : http(transport, probe.url)
  return attempt.pipe(
    Effect.catchTag("DialFailed", (failed) => Effect.succeed(bad(undialled(address, failed)))),
    Effect.timeoutTo({
      duration: timeout,
      onSuccess: (probed) => probed,
      onTimeout: () => bad(`no answer within ${Duration.format(timeout)}`)
    })
  )
}

const bad = (detail: string): Probed => ({ ok: false, detail })

/** Both addresses of this name are tried, so it does not matter on which of them the application listens. */
const itself = "localhost"

const where = ({ host, port }: Endpoint) => (host === itself ? `port ${port}` : `port ${port} of ${host}`)

const undialled = (address: string, { detail, reason, to }: DialFailed): string => {
  switch (reason) {
    case "refused":
      return `nothing listens on ${where(to)}`
    case "unreachable":
      return `${where(to)} cannot be reached (${clean(detail)})`
    case "prohibited":
      return `${address} does not let anybody connect to ${where(to)} through it (${clean(detail)}): allow AllowTcpForwarding in its sshd_config, or check with a command`
  }
}

const tcp = (transport: Transport, { host = itself, port }: Partial<Endpoint> & { readonly port: number }) =>
  transport.dial({ host, port }, () => Effect.succeed<Probed>({ ok: true, detail: "it takes connections" }))

const http = (transport: Transport, text: string) => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    return Effect.succeed(bad(`"${clean(text, 100)}" is not a URL that begins with http:// or https://`))
  }
  const usual = url.protocol === "https:" ? 443 : 80
  const to = { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port === "" ? usual : Number(url.port) }
  const isHealthy = (status: number) => status >= 200 && status < 400
  return transport.dial(to, (stream) =>
    httpGet(stream, url, { maxBody, wantsBody: (status) => !isHealthy(status) }).pipe(
      Effect.match({
        onSuccess: ({ body, status }): Probed => {
          const answer = clean(body, maxBody)
          return {
            ok: isHealthy(status),
            detail: `it answered ${status}${answer === "" ? "" : `, "${answer}"`}`
          }
        },
        onFailure: ({ detail }) => bad(`no answer (${clean(detail)})`)
      })
    )
  )
}
