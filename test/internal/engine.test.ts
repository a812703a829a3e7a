import { assert, describe, it } from "@effect/vitest"
import { buildArguments } from "../../src/internal/engine.ts"

describe("buildArguments", () => {
  it("Build arguments go into the environment, even empty ones.", () => {
    assert.deepStrictEqual(buildArguments({ TOKEN: "s3cr3t", EMPTY: "" }, {}), {
      words: ["--build-arg", "TOKEN", "--build-arg", "EMPTY"],
      env: { TOKEN: "s3cr3t", EMPTY: "" },
      exposed: []
    })
  })

  it("A build argument named like a variable of the engine stays out of the environment and counts as exposed.", () => {
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

  it("A build argument stays hidden if the engine's environment has the same value anyway.", () => {
    assert.deepStrictEqual(buildArguments({ HTTP_PROXY: "http://u:p@proxy" }, { HTTP_PROXY: "http://u:p@proxy" }), {
      words: ["--build-arg", "HTTP_PROXY"],
      env: { HTTP_PROXY: "http://u:p@proxy" },
      exposed: []
    })
  })

  it("A build argument whose name only contains a variable of the engine is not exposed.", () => {
    assert.deepStrictEqual(
      buildArguments({ HOMEPAGE: "h", MY_DOCKER_HOST: "d", BUILDKIT_INLINE_CACHE: "1" }, {}).exposed,
      []
    )
  })
})
