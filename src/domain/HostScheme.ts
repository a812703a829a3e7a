/**
 * The hosts that are reached without SSH and are not this machine, such as `docker://my_app`. A new kind of host has one entry in `kinds`, and one
 * in `host/connecting.ts`.
 */

interface Kind {
  /** For sentences: `a container`. */
  readonly noun: string
  /** The form of the name. */
  readonly name: RegExp
  /** An example of a name. */
  readonly example: string
}

const container: Kind = { noun: "a container", name: /^[A-Za-z0-9][\w.-]*$/, example: "my_app" }

const kinds = { docker: container, podman: container } as const satisfies Readonly<Record<string, Kind>>

/** The word before `://`. */
export type Scheme = keyof typeof kinds

/** A host such as `docker://my_app`, in its parts. */
export interface SchemeHost {
  readonly scheme: Scheme
  readonly name: string
}

const isScheme = (word: string): word is Scheme => Object.hasOwn(kinds, word)

const schemeOf = (host: string): Scheme | undefined => {
  const [, word = ""] = /^([a-z]+):/.exec(host) ?? []
  return isScheme(word) ? word : undefined
}

/** The parts of a `host` with a scheme. Undefined for any other host, and if the name has a mistake. */
export const schemeHost = (host: string): SchemeHost | undefined => {
  const scheme = schemeOf(host)
  if (scheme === undefined || !host.startsWith(`${scheme}://`)) return undefined
  const name = host.slice(`${scheme}://`.length)
  return kinds[scheme].name.test(name) ? { scheme, name } : undefined
}

/** The mistake in a `host` with a scheme, as the rest of a sentence. Undefined for any other host, and if there is no mistake. */
export const schemeMistake = (host: string): string | undefined => {
  const scheme = schemeOf(host)
  if (scheme === undefined || schemeHost(host) !== undefined) return undefined
  const { example, noun } = kinds[scheme]
  return `must be the name of ${noun} alone, as in "${scheme}://${example}"`
}
