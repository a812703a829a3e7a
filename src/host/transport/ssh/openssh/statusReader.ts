import { Buffer } from "node:buffer"

/** Takes the line with a command's exit status out of its standard error. */
export interface StatusReader {
  /** The exit status. Undefined until the whole line has arrived. */
  readonly status: () => number | undefined
  /** Takes the next chunk. */
  readonly read: (chunk: Uint8Array) => void
  /** Passes on the text that was held back, after the last chunk. */
  readonly end: () => void
}

/** Passes standard error to `pass`, without the line that consists of `mark`, a space and a number. The line may arrive in any number of chunks. */
export const makeStatusReader = (mark: string, pass: (chunk: Uint8Array) => void): StatusReader => {
  const line = new RegExp(`${mark} (\\d+)\\n`)
  const beginning = new RegExp(`^${mark} \\d*$`)
  // In latin1, each byte is one character.
  let held = ""
  let status: number | undefined
  const deliver = (words: string) => {
    if (words !== "") pass(Buffer.from(words, "latin1"))
  }
  /** The place in the held text where the line may begin. */
  const mayBeginAt = () => {
    for (let at = Math.max(0, held.length - mark.length - 4); at < held.length; at++) {
      const rest = held.slice(at)
      if (mark.startsWith(rest) || beginning.test(rest)) return at
    }
    return held.length
  }
  return {
    status: () => status,
    read: (chunk) => {
      held += Buffer.from(chunk).toString("latin1")
      const found = status === undefined ? line.exec(held) : null
      if (found !== null) {
        status = Number(found[1])
        held = held.slice(0, found.index) + held.slice(found.index + found[0].length)
      }
      const upTo = status === undefined ? mayBeginAt() : held.length
      deliver(held.slice(0, upTo))
      held = held.slice(upTo)
    },
    end: () => {
      deliver(held)
      held = ""
    }
  }
}
