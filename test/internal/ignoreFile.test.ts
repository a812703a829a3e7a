import { assert, describe, it } from "@effect/vitest"
import { ignoring } from "../../src/internal/ignoreFile.ts"

const store = "deployer/release_store/my_app-1.tar.gz"

/**
 * As Docker's pattern matcher decides. podman 4.3.1 agrees with all of them but three: it takes `(` for a group, and keeps out the files that
 * `! deployer` and `!**\/release_store` should bring back.
 */
const cases: ReadonlyArray<readonly [text: string, path: string, ignored: boolean]> = [
  ["", store, false],
  ["deployer/", store, true],
  ["/deployer", store, true],
  ["./deployer/", store, true],
  ["  deployer  \r\n", store, true],
  ["\uFEFFdeployer\n", store, true],
  ["# deployer\n", store, false],
  ["deployer # the workspace", store, false],
  ["Deployer", store, false],
  ["release_store", store, false],
  ["**/release_store", store, true],
  ["*/release_store", store, true],
  ["deployer/*/my_app-?.tar.gz", store, true],
  ["**/*.tar.gz", store, true],
  ["*.tar.gz", store, false],
  ["depl[n-p]yer", store, true],
  ["depl[^o]yer", store, false],
  ["\\deployer", store, false],
  ["\\-deployer", "-deployer/a", true],
  ["dep(loyer)", store, false],
  ["dep.oyer", store, false],
  ["docs/../deployer", store, true],
  ["*", store, true],
  ["**", store, true],
  ["deployer/**", store, true],
  ["deployer/**", "deployer", false],
  ["*\n!src", store, true],
  ["*\n!deployer", store, false],
  ["*\n! deployer", store, false],
  ["deployer\n!deployer/demo", store, true],
  ["deployer\n!**/release_store", store, false],
  ["!deployer\ndeployer", store, true],
  ["[z-a]", store, false],
  ["apps/**/deployer", `apps/a/b/${store}`, true],
  ["**/deployer", `apps/a/b/${store}`, true]
]

describe("ignoring", () => {
  for (const [text, path, ignored] of cases) {
    it(`The ignore file ${JSON.stringify(text)} ${ignored ? "keeps" : "does not keep"} ${path} out of the context.`, () => {
      assert.strictEqual(ignoring(text)(path), ignored)
    })
  }
})
