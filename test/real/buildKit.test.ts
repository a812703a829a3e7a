/** The builds of docker.test.ts, by BuildKit. */
import { spawnSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"

// The settings of a docker command that finds the plugin buildx. By default, the user's own.
const config = process.env["DOCKER_CONFIG_WITH_BUILDX"]
if (config !== undefined) process.env["DOCKER_CONFIG"] = config
delete process.env["DOCKER_BUILDKIT"]

if (process.env["CI"] === "true" || spawnSync("docker", ["buildx", "version"]).status === 0) {
  const { builder } = await import("../kit/docker.ts")
  it("The engine builds with BuildKit.", () => assert.strictEqual(builder, "BuildKit"))
  await import("./docker.test.ts")
} else describe.skip("with BuildKit (skipped: docker has no plugin buildx)", () => it("BuildKit builds.", () => {}))
