/** Prepares private keys and agents for ssh2. */
import { createPrivateKey, type KeyObject } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { BaseAgent, IdentityCallback, ParsedKey, SignCallback, SigningRequestOptions } from "ssh2"
import { Disconnected } from "./Connection.ts"
import { ed25519File, type PublicKey, publicKeyOf } from "./keys.ts"
import { detailOf, type Method, type Ssh2 } from "./ssh2.ts"

/** The result of reading a private key. */
export type OpenedKey =
  | { readonly _tag: "Opened"; readonly key: Redacted.Redacted<ParsedKey> }
  | { readonly _tag: "Locked" }
  | { readonly _tag: "NotAKey" }
  /** A PuTTY file in a version that ssh2 does not read. */
  | { readonly _tag: "PuttyOnly" }

/** Reads a private key in OpenSSH's, PEM or PuTTY's format. With a wrong passphrase it stays locked. */
export const openKey = (
  ssh2: Ssh2,
  text: Redacted.Redacted<string>,
  passphrase?: Redacted.Redacted<string>
): OpenedKey => {
  // Removes the parameters of the curve, which OpenSSL writes before the key. The key names the curve itself.
  const content = Redacted.value(text).replace(/-----BEGIN EC PARAMETERS-----[^-]*-----END EC PARAMETERS-----\s*/, "")
  const secret = passphrase === undefined ? undefined : Redacted.value(passphrase)
  const pkcs8 = /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.exec(content)
  if (pkcs8 !== null) return fromPkcs8(ssh2, content, pkcs8[1] !== undefined, secret)
  const opened = parseKey(ssh2, content, secret)
  if (opened._tag !== "NotAKey") return opened
  // Some programs write a PKCS#8 key between the first and last lines of the older format.
  const relabelled = content.replaceAll(/(-----(?:BEGIN|END)) (?:EC|RSA) PRIVATE KEY-----/g, "$1 PRIVATE KEY-----")
  if (relabelled !== content) return fromPkcs8(ssh2, relabelled, false, secret)
  return /^PuTTY-User-Key-File-/.test(content) ? { _tag: "PuttyOnly" } : opened
}

const parseKey = (ssh2: Ssh2, content: string, secret: string | undefined): OpenedKey => {
  const parsed = ssh2.utils.parseKey(content, secret)
  // If a file holds several keys, the first one counts.
  const key = Array.isArray(parsed) ? parsed[0] : parsed
  if (key instanceof Error) {
    return secret !== undefined || /passphrase/i.test(key.message) ? { _tag: "Locked" } : { _tag: "NotAKey" }
  }
  return key?.isPrivateKey() === true ? { _tag: "Opened", key: Redacted.make(key) } : { _tag: "NotAKey" }
}

/** Converts a key from OpenSSL's own format, which ssh2 does not read, to a format that ssh2 reads. */
const fromPkcs8 = (ssh2: Ssh2, content: string, encrypted: boolean, passphrase: string | undefined): OpenedKey => {
  if (encrypted && passphrase === undefined) return { _tag: "Locked" }
  try {
    const key = createPrivateKey(encrypted ? { key: content, passphrase: passphrase ?? "" } : content)
    const converted = inKnownFormat(key)
    return converted === undefined ? { _tag: "NotAKey" } : parseKey(ssh2, converted, undefined)
  } catch {
    return encrypted ? { _tag: "Locked" } : { _tag: "NotAKey" }
  }
}

const inKnownFormat = (key: KeyObject): string | undefined => {
  switch (key.asymmetricKeyType) {
    case "rsa":
      return key.export({ type: "pkcs1", format: "pem" }).toString()
    case "ec":
      return key.export({ type: "sec1", format: "pem" }).toString()
    case "ed25519": {
      const { d, x } = key.export({ format: "jwk" })
      return d === undefined || x === undefined
        ? undefined
        : ed25519File(Buffer.from(x, "base64url"), Buffer.from(d, "base64url"))
    }
    default:
      return undefined
  }
}

/** An agent that answers, and its keys. */
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
