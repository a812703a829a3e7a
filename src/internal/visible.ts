/**
 * Makes foreign text safe for a terminal: removes sequences that move the cursor, set titles, or hide earlier text. Colors stay.
 */
import { StringDecoder } from "node:string_decoder"

const escape = "\u001b"
/** A sequence that begins with ESC: with parameters, a string up to its end, or one character. */
const sequence = new RegExp(
  `${escape}(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^${escape}\\u0007]*(?:\\u0007|${escape}\\\\)|[^[\\]PX^_])`,
  "g"
)
/** A sequence that may be incomplete. */
const begun = new RegExp(`${escape}(?:\\[[0-?]*[ -/]*|[\\]PX^_][^${escape}\\u0007]*${escape}?)?$`)
const color = new RegExp(`^${escape}\\[[0-9;:]*m$`)
/** Controls, except tabs and line ends. */
const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g

/** The maximum length of an incomplete sequence, in characters. */
const maxLength = 4096

const shown = (text: string): string => {
  const parts: Array<string> = []
  let at = 0
  for (const { 0: found, index } of text.matchAll(sequence)) {
    parts.push(text.slice(at, index).replaceAll(controls, ""), color.test(found) ? found : "")
    at = index + found.length
  }
  parts.push(text.slice(at).replaceAll(controls, ""))
  return parts.join("")
}

/** Output as it comes. Returns a function that takes its bytes and returns the text to show of them. */
export const visibleOutput = (): ((chunk: Uint8Array) => string) => {
  const decoder = new StringDecoder("utf8")
  let held = ""
  return (chunk) => {
    const text = held + decoder.write(Buffer.from(chunk))
    const at = text.search(begun)
    held = at < 0 || text.length - at > maxLength ? "" : text.slice(at)
    return shown(held === "" ? text : text.slice(0, at))
  }
}
