import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

const src = fileURLToPath(new URL("./src", import.meta.url))

const workers = Number(process.env["TEST_WORKERS"] ?? 3)

/** Files that take minutes begin first: at the end they would run while other workers have nothing left to do. */
class LongFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>) {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) =>
      /crash(Gnu|Busybox|OpenSsh)|sim\/world|real\/(shells|powerCut|host|local|badInput|examples|container|docs|install)|store\/ReleaseStore/.test(
        moduleId
      )
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-deployer$/, replacement: `${src}/index.ts` },
      { find: /^effect-deployer\/(.*)$/, replacement: `${src}/$1.ts` }
    ]
  },
  test: {
    globalSetup: ["test/kit/build.ts"],
    setupFiles: ["test/kit/turn.ts"],
    include: ["test/**/*.test.ts"],
    // Nothing takes this long but on a machine that is several times slower than usual.
    testTimeout: 240_000,
    // Shared CI machines stall for seconds now and then; a test that fails twice in a row has a reason of its own.
    retry: process.env["CI"] === "true" ? 1 : 0,
    hookTimeout: 300_000,
    sequence: { sequencer: LongFirst },
    // Most tests wait for other programs most of the time.
    minWorkers: workers,
    maxWorkers: workers
  }
})
