/** Waits for signed requests, deploys, and streams the progress. */
import { createServer } from "node:http"
import { HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Schema, Stream } from "effect"
import { Deployments } from "./Deployments.ts"
import { toServerSentEvent } from "./Progress.ts"
import { Settings } from "./Settings.ts"
import { signedBody } from "./Signature.ts"

const Wish = Schema.parseJson(Schema.Struct({ target: Schema.NonEmptyString }))

/** The answer to a request that fails. */
const failure = (status: number) => (error: Error) => HttpServerResponse.text(`${error.message}\n`, { status })

const router = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/deployments",
    Effect.gen(function* () {
      const deployments = yield* Deployments
      const { target } = yield* Effect.flatMap(signedBody, Schema.decode(Wish))
      yield* deployments.begin(target)
      return HttpServerResponse.text("The deployment has begun: see GET /progress\n", { status: 202 })
    })
  ),
  HttpRouter.get(
    "/progress",
    Effect.gen(function* () {
      const deployments = yield* Deployments
      const progress = yield* deployments.progress
      return HttpServerResponse.stream(progress.pipe(Stream.map(toServerSentEvent), Stream.encodeText), {
        contentType: "text/event-stream",
        headers: { "cache-control": "no-cache" }
      })
    })
  ),
  HttpRouter.catchTags({
    ParseError: failure(400),
    RequestError: failure(400),
    WrongSignature: failure(401),
    NoDeployment: failure(404),
    DeploymentRuns: failure(409)
  })
)

const server = NodeHttpServer.layerConfig(createServer, {
  host: Config.string("HOST").pipe(Config.withDefault("127.0.0.1")),
  port: Config.port("PORT").pipe(Config.withDefault(8080))
})

const main = HttpServer.serve(router).pipe(
  HttpServer.withLogAddress,
  Layer.provide([server, Deployments.Default, Settings.Default])
)

NodeRuntime.runMain(Layer.launch(main))
