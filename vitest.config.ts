import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const src = fileURLToPath(new URL("./src/index.ts", import.meta.url))

export default defineConfig({
  resolve: { alias: { "effect-deployer": src } },
  test: {
    globalSetup: ["test/kit/build.ts"],
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    // Shared CI machines stall for seconds now and then; a test that fails twice in a row has a reason of its own.
    retry: process.env["CI"] === "true" ? 1 : 0,
    hookTimeout: 120_000,
    // Most tests wait for other programs most of the time.
    minWorkers: 3,
    maxWorkers: 3
  }
})
