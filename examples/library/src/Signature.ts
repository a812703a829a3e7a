/** Signatures of requests, as GitHub makes them: `X-Hub-Signature-256: sha256=<HMAC of the body>`. */
import { createHmac, timingSafeEqual } from "node:crypto"
import { HttpServerRequest } from "@effect/platform"
import { Effect, Redacted, Schema } from "effect"
import { Settings } from "./Settings.ts"

export class WrongSignature extends Schema.TaggedError<WrongSignature>()("WrongSignature", {}) {
  override get message(): string {
    return "The signature is missing or wrong"
  }
}

/** The body of the request, if its signature is right. */
export const signedBody = Effect.gen(function* () {
  const { secret } = yield* Settings
  const request = yield* HttpServerRequest.HttpServerRequest
  const body = Buffer.from(yield* request.arrayBuffer)
  const wanted = Buffer.from(`sha256=${createHmac("sha256", Redacted.value(secret)).update(body).digest("hex")}`)
  const given = Buffer.from(request.headers["x-hub-signature-256"] ?? "")
  // The comparison takes the same time for each signature of the right length.
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return yield* new WrongSignature()
  return body.toString("utf8")
})
