/**
 * Secrets in text that is kept, such as a log file.
 */

/** Names of variables that hold secrets. Names of files and sockets are none. */
const secretName =
  /SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|_PASS$|_PWD$|(?:API|ACCESS|PRIVATE|DEPLOY|SSH|MASTER|ENCRYPTION|SIGNING)_?KEY/i
const privateKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/
const fileName = /(FILE|PATH|SOCK)$/i

/** Shorter values are too likely to be part of ordinary words. */
const leastLength = 6

const mark = "***"

/** The secrets of an environment, the longest first. A value of several lines, such as a private key, counts line by line. */
const secretsOf = (env: Readonly<Record<string, string | undefined>>): ReadonlyArray<string> =>
  [
    ...new Set(
      Object.entries(env)
        .filter(([name, value = ""]) => (secretName.test(name) && !fileName.test(name)) || privateKey.test(value))
        .flatMap(([, value = ""]) => value.split(/\r?\n/))
        .map((line) => line.trim())
        .filter((line) => line.length >= leastLength)
    )
  ].toSorted((a, b) => b.length - a.length)

/** Words that a secret follows: `Authorization: Bearer …`, `password=…`, `--token …`. */
const told: ReadonlyArray<readonly [RegExp, string]> = [
  [/(\w:\/\/)[^\s/?#@]+@/g, `$1${mark}@`],
  [/(authorization\s*:\s*)(?:(basic|bearer|token)\s+)?[^\s"']+/gi, `$1${mark}`],
  [
    /((?:^|[\s"'{,?&;-])[\w-]*(?:password|passwd|passphrase|secret|token|(?:api|access|private|master)[_-]?key|_pass|_pwd)["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|[^\s"'&;]+)/gi,
    `$1${mark}`
  ],
  [/(--(?:password|passwd|passphrase|secret|token|api-key)\s+)(?:"[^"]*"|'[^']*'|[^\s"']+)/gi, `$1${mark}`]
]

/** Replaces the secrets of an environment, and values that a text itself calls a secret. */
export const redactor = (env: Readonly<Record<string, string | undefined>>): ((text: string) => string) => {
  const secrets = secretsOf(env)
  return (text) =>
    told.reduce(
      (text, [pattern, replacement]) => text.replace(pattern, replacement),
      secrets.reduce((text, secret) => text.replaceAll(secret, mark), text)
    )
}
