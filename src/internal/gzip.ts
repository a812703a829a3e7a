import { promisify } from "node:util"
import { gunzip, gzip } from "node:zlib"
import * as Effect from "effect/Effect"

const deflated = promisify(gzip)
const inflated = promisify(gunzip)

/** A text as gzip. */
export const compress = (text: string): Effect.Effect<Uint8Array> => Effect.promise(() => deflated(text))

/** The text that was compressed. */
export const decompress = (bytes: Uint8Array): Effect.Effect<string, unknown> =>
  Effect.map(Effect.tryPromise({ try: () => inflated(bytes), catch: (cause) => cause }), (text) =>
    text.toString("utf8")
  )
