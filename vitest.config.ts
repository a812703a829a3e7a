import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const src = fileURLToPath(new URL("./src/index.ts", import.meta.url))

export default defineConfig({
  resolve: { alias: { "effect-deployer": src } },
  test: {
    globalSetup: ["test/kit/build.ts"],
    include: ["test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 60_000
  }
})
