import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { parseDockerfile } from "../../src/build/dockerfile.ts"

const declared = (text: string) => Effect.map(parseDockerfile(text), ({ declared }) => declared && [...declared])

describe("dockerfile", () => {
  it.effect("The declared arguments are found wherever Docker reads them, and nowhere else.", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* declared(`# escape=\\
ARG BEFORE=1 second
FROM --platform=\${BEFORE} node:22 AS build
ARG C="x y" D='ARG E'
  # ARG COMMENT
RUN echo \\
  ARG CONTINUED
RUN <<EOT
ARG HEREDOC
EOT
COPY <<-"EOF" /x
	ARG FILE
	EOF
ONBUILD ARG LATER
arg lower
FROM scratch
ARG deployer_name
`),
        ["BEFORE", "second", "C", "D", "lower", "deployer_name"]
      )
      assert.deepStrictEqual(yield* declared("# escape=`\nFROM a\nRUN x `\nARG NO\nARG YES\n"), ["YES"])
      assert.deepStrictEqual(yield* declared("\uFEFFARG A\r\nFROM x\r\nARG B=1\r\n"), ["A", "B"])
      assert.deepStrictEqual(yield* declared(""), [])
      assert.deepStrictEqual(yield* declared("# syntax=docker/dockerfile:1\nARG A\n"), ["A"])
      assert.isUndefined(yield* declared("# syntax=example.com/other\nFROM x\n"))
      assert.deepStrictEqual(yield* declared("FROM x\n# syntax=example.com/other\n"), [])
    })
  )

  it.effect("The working directory is that of the last stage, with the stages that it comes from.", () =>
    Effect.gen(function* () {
      const workdir = (text: string) => Effect.map(parseDockerfile(text), ({ workdir }) => workdir)
      assert.strictEqual(yield* workdir("FROM a\nWORKDIR /app/\n"), "/app")
      assert.strictEqual(yield* workdir("FROM a AS b\nWORKDIR /app\nFROM b\nWORKDIR sub\n"), "/app/sub")
      assert.isUndefined(yield* workdir("FROM a AS b\nWORKDIR /app\nFROM scratch\n"))
      assert.isUndefined(yield* workdir("FROM a\nWORKDIR $HOME/app\n"))
      assert.isUndefined(yield* workdir("FROM a\nWORKDIR relative\n"))
    })
  )

  it.effect("The program, the port and the copied path of the last stage are found.", () =>
    Effect.gen(function* () {
      const facts = yield* parseDockerfile(`FROM golang AS build
RUN go build -o /out/hello
EXPOSE 1
FROM scratch
COPY --from=build /out /srv/
COPY x /y
EXPOSE 4000/tcp 5000
ENTRYPOINT ["/srv/hello", "--port"]
CMD ["4000"]
`)
      assert.deepInclude(facts, { copiedTo: "/srv", port: 4000, program: ["/srv/hello", "--port", "4000"] })
      assert.deepStrictEqual(facts.lastStage, [])
      const shell = yield* parseDockerfile("FROM x\nRUN mix  release\nCMD npm start\n")
      assert.deepInclude(shell, { program: undefined, port: undefined, copiedTo: undefined, workdir: undefined })
      assert.deepStrictEqual(shell.lastStage, ["mix release"])
    })
  )
})
