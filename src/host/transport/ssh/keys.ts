/**
 * Reads and writes keys in the forms of SSH: fingerprints, hashed names and the parts of a private key file that are not secret.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto"

/** The public half of a key: its type (`ssh-ed25519`) and its wire form in base64. */
export interface PublicKey {
  readonly type: string
  /** Base64 with padding, as in known_hosts and `.pub` files. */
  readonly blob: string
}

const readString = (bytes: Buffer, offset: number): Buffer | undefined => {
  if (offset < 0 || offset + 4 > bytes.length) return undefined
  const end = offset + 4 + bytes.readUInt32BE(offset)
  return end > bytes.length ? undefined : bytes.subarray(offset + 4, end)
}

/** Reads the type out of a public key's wire form. */
export const publicKeyOf = (wire: Uint8Array): PublicKey | undefined => {
  const bytes = Buffer.from(wire)
  const type = readString(bytes, 0)?.toString("latin1")
  return type === undefined || !/^[\x21-\x7e]+$/.test(type) ? undefined : { type, blob: bytes.toString("base64") }
}

/** `SHA256:…`, as `ssh-keygen -l` prints it. */
export const fingerprint = (key: PublicKey): string =>
  `SHA256:${createHash("sha256").update(Buffer.from(key.blob, "base64")).digest("base64").replace(/=+$/, "")}`

/** Whether a hashed name of a known_hosts file (`|1|salt|hash`) stands for `name`. */
export const isHashOf = (hashed: string, name: string): boolean => {
  const [empty, version, salt, hash, ...rest] = hashed.split("|")
  if (empty !== "" || version !== "1" || salt === undefined || hash === undefined || rest.length > 0) return false
  const wanted = Buffer.from(hash, "base64")
  const found = createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest()
  return wanted.length === found.length && timingSafeEqual(wanted, found)
}

/** Reads a `.pub` file. Undefined for any other text. */
export const publicKeyOfLine = (line: string): PublicKey | undefined => {
  const [type, blob] = line.trim().split(/\s+/)
  const key = blob === undefined ? undefined : publicKeyOf(Buffer.from(blob, "base64"))
  return key?.type === type ? key : undefined
}

const lengthOf = (bytes: Uint8Array): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return length
}

const withLengths = (...fields: ReadonlyArray<Uint8Array | string>): Buffer =>
  Buffer.concat(fields.map((field) => Buffer.from(field)).flatMap((field) => [lengthOf(field), field]))

/** The text of an OpenSSH private key file without a passphrase (PROTOCOL.key of OpenSSH), from the 32 public and 32 secret bytes of an Ed25519 key. */
export const ed25519File = (publicPart: Uint8Array, secretPart: Uint8Array): string => {
  const type = "ssh-ed25519"
  const check = Buffer.alloc(8)
  const secret = Buffer.concat([check, withLengths(type, publicPart, Buffer.concat([secretPart, publicPart]), "")])
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, index) => index + 1))
  const count = Buffer.from([0, 0, 0, 1])
  const file = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    withLengths("none", "none", ""),
    count,
    withLengths(withLengths(type, publicPart), Buffer.concat([secret, padding]))
  ])
  const lines = file.toString("base64").replaceAll(/.{70}/g, "$&\n")
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`
}

/**
 * The text of a private key file, from the value of a variable. The value may lack the last line end, have the line ends of Windows, or have `\n` in
 * place of line ends. It may also be in base64, because some CI systems can hide only values without blanks.
 */
export const keyText = (text: string): string => {
  const plain = /^[A-Za-z0-9+/=\s]+$/.test(text) ? Buffer.from(text, "base64").toString("utf8") : text
  const lines = plain.trim().includes("\n") ? plain : plain.replaceAll(/(?:\\r)?\\n/g, "\n")
  return `${lines.replaceAll(/\r\n?/g, "\n").trim()}\n`
}

/** The public half of an OpenSSH private key file. It is not encrypted, even if the rest of the file is. */
export const publicHalf = (privateKeyFile: string): PublicKey | undefined => {
  const match = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END OPENSSH PRIVATE KEY-----/.exec(privateKeyFile)
  const bytes = Buffer.from(match?.[1] ?? "", "base64")
  const magic = "openssh-key-v1\0"
  if (bytes.subarray(0, magic.length).toString("latin1") !== magic) return undefined
  // Cipher, key derivation and its options come first, then the number of keys.
  let offset = magic.length
  for (let field = 0; field < 3; field++) {
    const value = readString(bytes, offset)
    if (value === undefined) return undefined
    offset += 4 + value.length
  }
  const wire = readString(bytes, offset + 4)
  return wire === undefined ? undefined : publicKeyOf(wire)
}
