import type { SessionOptions } from "./Connection.ts"

/** The end of a command, as a connection learns of it. */
export interface Ending {
  /** The command has ended, but more of its output may arrive. */
  readonly exited: (status: number) => void
  /** A chunk of output has arrived. */
  readonly heard: () => void
  /** No more output will arrive. Returns false if the status is still unknown. */
  readonly closed: () => boolean
}

/**
 * Calls `end` once, with the exit status, when the command has ended and its output too. If another process holds the output open, silence ends it: see
 * `patience`. `isWaiting`: whether output has arrived that was not passed on yet.
 */
export const makeEnding = (
  options: Pick<SessionOptions, "patience">,
  { end, isWaiting }: { readonly end: (status: number) => void; readonly isWaiting: () => boolean }
): Ending => {
  let status: number | undefined
  let since = 0
  let silence: NodeJS.Timeout | undefined
  const heard = () => {
    const { patience } = options
    if (status === undefined || patience === undefined) return
    const known = status
    clearTimeout(silence)
    const left = since + 5 * patience - performance.now()
    silence = setTimeout(() => (isWaiting() ? heard() : end(known)), Math.min(patience, Math.max(left, 10)))
    silence.unref()
  }
  return {
    exited: (code) => {
      status = code
      since = performance.now()
      heard()
    },
    heard,
    closed: () => {
      clearTimeout(silence)
      if (status === undefined) return false
      end(status)
      return true
    }
  }
}
