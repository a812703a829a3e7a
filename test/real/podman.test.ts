/** The builds of docker.test.ts, by podman. */
import { describe, it } from "@effect/vitest"
import { missingPodman, preparePodman } from "../kit/podman.ts"

if (missingPodman === undefined) {
  preparePodman()
  process.env["DEPLOYER_ENGINE"] = "podman"
  await import("./docker.test.ts")
} else describe.skip(`with podman (skipped: ${missingPodman})`, () => it("Podman builds.", () => {}))
