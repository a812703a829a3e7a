/** Private keys and agents, as ssh2 uses them. */
import { createPrivateKey } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { BaseAgent, IdentityCallback, ParsedKey, SignCallback, SigningRequestOptions } from "ssh2"
import { Disconnected } from "./Connection.ts"
import { type PublicKey, publicKeyOf } from "./keys.ts"
import { detailOf, type Method, type Ssh2 } from "./ssh2.ts"

/** The result of reading a private key. */
export type OpenedKey =
  | { readonly _tag: "Opened"; readonly key: Redacted.Redacted<ParsedKey> }
  | { readonly _tag: "Locked" }
  | { readonly _tag: "NotAKey" }

/** Reads a private key in OpenSSH's, PEM or PuTTY's format. With a wrong passphrase it stays locked. */
export const openKey = (
  ssh2: Ssh2,
  text: Redacted.Redacted<string>,
  passphrase?: Redacted.Redacted<string>
): OpenedKey => {
  const content = Redacted.value(text)
  const secret = passphrase === undefined ? undefined : Redacted.value(passphrase)
  const pkcs8 = /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.exec(content)
  const pem = pkcs8 === null ? content : fromPkcs8(content, pkcs8[1] !== undefined, secret)
  if (typeof pem !== "string") return pem
  const parsed = ssh2.utils.parseKey(pem, pkcs8 === null ? secret : undefined)
  // Some formats hold several keys, of which the first counts.
  const key = Array.isArray(parsed) ? parsed[0] : parsed
  if (key instanceof Error) {
    return secret !== undefined || /passphrase/i.test(key.message) ? { _tag: "Locked" } : { _tag: "NotAKey" }
  }
  return key?.isPrivateKey() === true ? { _tag: "Opened", key: Redacted.make(key) } : { _tag: "NotAKey" }
}

/** Converts OpenSSL's own format, which ssh2 does not read, to one that it does. */
const fromPkcs8 = (content: string, encrypted: boolean, passphrase: string | undefined): string | OpenedKey => {
  if (encrypted && passphrase === undefined) return { _tag: "Locked" }
  try {
    const key = createPrivateKey(encrypted ? { key: content, passphrase: passphrase ?? "" } : content)
    switch (key.asymmetricKeyType) {
      case "rsa":
        return key.export({ type: "pkcs1", format: "pem" }).toString()
      case "ec":
        return key.export({ type: "sec1", format: "pem" }).toString()
      default:
        return { _tag: "NotAKey" }
    }
  } catch {
    return encrypted ? { _tag: "Locked" } : { _tag: "NotAKey" }
  }
}

/** An agent that answers, and the keys in it. */
export interface Agent {
  readonly keys: ReadonlyArray<PublicKey>
  /** The agent, limited to these keys. */
  readonly only: (keys: ReadonlyArray<PublicKey>) => Method
}

/** Asks an agent for its keys. Fails if none answers within three seconds. */
export const openAgent = (ssh2: Ssh2, socket: string): Effect.Effect<Agent, Disconnected> =>
  Effect.async<Agent, Disconnected>((resume) => {
    const agent = ssh2.createAgent(socket)
    agent.getIdentities((error, found) => {
      if (error || found === undefined) {
        return resume(Effect.fail(new Disconnected({ reason: "refused", detail: detailOf(error) })))
      }
      const keys = found.flatMap((entry) => {
        const key = typeof entry === "object" && "getPublicSSH" in entry ? publicKeyOf(entry.getPublicSSH()) : undefined
        return key === undefined ? [] : [key]
      })
      resume(
        Effect.succeed({
          keys,
          only: (keys) => ({ _tag: "Agent", agent: restrict(ssh2, agent, keys) })
        })
      )
    })
  }).pipe(
    Effect.timeoutFail({
      duration: 3000,
      onTimeout: () => new Disconnected({ reason: "timeout", detail: "the agent does not answer" })
    })
  )

type AnyKey = ParsedKey | Buffer | string

const restrict = (ssh2: Ssh2, agent: BaseAgent, keys: ReadonlyArray<PublicKey>): BaseAgent =>
  new (class extends ssh2.BaseAgent<AnyKey> {
    override getIdentities(callback: IdentityCallback): void {
      callback(
        null,
        keys.map((key) => Buffer.from(key.blob, "base64"))
      )
    }
    override sign(of: AnyKey, data: Buffer, options: SigningRequestOptions | SignCallback, callback?: SignCallback) {
      if (typeof options === "function") agent.sign(of, data, options)
      else agent.sign(of, data, options, callback)
    }
  })()
