/**
 * Secrets in text that is kept, such as a log file.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** Names of variables that hold secrets. Names of files and sockets are not secret. */
const secretName =
  /SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|_PASS$|_PWD$|(?:API|ACCESS|PRIVATE|DEPLOY|SSH|MASTER|ENCRYPTION|SIGNING)_?KEY|(?<!PUBLIC|HOST|CACHE)_KEY$/i
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/
const fileName = /(FILE|PATH|SOCK)$/i

/** Whether a variable or a build argument holds a secret. */
export const isSecret = (name: string, value: string): boolean =>
  (secretName.test(name) && !fileName.test(name) && !value.startsWith("/")) || privateKey.test(value)

/** Secrets that are found while a command runs, such as the private key of a target. */
export class Secrets extends Context.Reference<Secrets>()("deployer/Secrets", {
  defaultValue: () => new Set<string>()
}) {}

/** Keeps values out of all later text. */
export const hide = (values: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.map(Secrets, (secrets) => {
    for (const value of values.flatMap(linesOf)) secrets.add(value)
  })

/** Shorter values are too likely to be part of ordinary words. */
const leastLength = 6

const mark = "***"

/** The lines of a value that are long enough: a private key counts line by line. */
const linesOf = (value: string): ReadonlyArray<string> =>
  value
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line.length >= leastLength)

/** The secrets of an environment. */
const secretsOf = (env: Readonly<Record<string, string | undefined>>): ReadonlyArray<string> =>
  Object.entries(env).flatMap(([name, value = ""]) => (isSecret(name, value) ? linesOf(value) : []))

/** A value after its name: quoted, also if the quote does not end, or one word. */
const value = String.raw`(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|["'][^\n]*|[^\s"'&;]+)`

/** Words that a secret follows: `Authorization: Bearer …`, `password=…`, `--token …`. */
const told: ReadonlyArray<readonly [RegExp, string]> = [
  // A password may contain an @, and the host begins after the last one.
  [/(\w:\/\/)[^\s/?#"']+@/g, `$1${mark}@`],
  [new RegExp(String.raw`(\b(?:curl|wget)\b[^\n]*?\s(?:-u|--user|--proxy-user)[\s=]*)${value}`, "gi"), `$1${mark}`],
  [new RegExp(String.raw`(\bsshpass\s+-p\s*)${value}`, "g"), `$1${mark}`],
  [/(authorization\s*:\s*)(?:(basic|bearer|token)\s+)?[^\s"']+/gi, `$1${mark}`],
  [
    new RegExp(
      String.raw`((?:^|[\s"'{,?&;-])[\w-]*(?:password|passwd|passphrase|secret|token|credentials?|(?:api|access|private|master)[_-]?key|(?<!public|host|cache)_key|_pass|_pwd)["']?\s*[=:]\s*)${value}`,
      "gi"
    ),
    `$1${mark}`
  ],
  [new RegExp(String.raw`(--(?:password|passwd|passphrase|secret|token|api-key)\s+)${value}`, "gi"), `$1${mark}`]
]

/** Replaces the secrets of an environment, those that were found since, and values that a text itself calls a secret. */
export const redactor = (
  env: Readonly<Record<string, string | undefined>>,
  found: ReadonlySet<string> = new Set()
): ((text: string) => string) => {
  const secrets = secretsOf(env)
  return (text) =>
    told.reduce(
      (text, [pattern, replacement]) => text.replace(pattern, replacement),
      // The longest first: one may contain another.
      [...new Set([...secrets, ...found])]
        .toSorted((a, b) => b.length - a.length)
        .reduce((text, secret) => text.replaceAll(secret, mark), text)
    )
}
