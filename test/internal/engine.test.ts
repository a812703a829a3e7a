import { assert, describe, it } from "@effect/vitest"
import { buildArguments } from "../../src/internal/engine.ts"

describe("buildArguments", () => {
  it("puts values into the environment, empty ones too", () => {
    assert.deepStrictEqual(buildArguments({ TOKEN: "s3cr3t", EMPTY: "" }, {}), {
      words: ["--build-arg", "TOKEN", "--build-arg", "EMPTY"],
      env: { TOKEN: "s3cr3t", EMPTY: "" },
      exposed: []
    })
  })

  it("leaves the variables alone that the engine reads itself, and names them", () => {
    for (const name of [
      "PATH",
      "HOME",
      "DOCKER_HOST",
      "CONTAINER_HOST",
      "HTTP_PROXY",
      "https_proxy",
      "TMPDIR",
      "LC_ALL"
    ]) {
      assert.deepStrictEqual(
        buildArguments({ [name]: "other", TOKEN: "t" }, { [name]: "own" }),
        { words: ["--build-arg", `${name}=other`, "--build-arg", "TOKEN"], env: { TOKEN: "t" }, exposed: [name] },
        name
      )
    }
  })

  it("hides a value of such a variable if the engine has it anyway", () => {
    assert.deepStrictEqual(buildArguments({ HTTP_PROXY: "http://u:p@proxy" }, { HTTP_PROXY: "http://u:p@proxy" }), {
      words: ["--build-arg", "HTTP_PROXY"],
      env: { HTTP_PROXY: "http://u:p@proxy" },
      exposed: []
    })
  })

  it("does not take a longer name for a variable of the engine", () => {
    assert.deepStrictEqual(
      buildArguments({ HOMEPAGE: "h", MY_DOCKER_HOST: "d", BUILDKIT_INLINE_CACHE: "1" }, {}).exposed,
      []
    )
  })
})
