/**
 * The facts that the files of a project tell about it, for its first config.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type DockerfileFacts, parseDockerfile } from "../build/dockerfile.ts"
import { ReleaseName } from "../domain/Release.ts"

/** The languages that `init` knows by their files. */
export type Language = "Elixir" | "Go" | "Rust" | "Ruby" | "Node"

/** A project as its files describe it. */
export interface ProjectFacts {
  /** The name of its release. */
  readonly name: string
  readonly language: Language | undefined
  /** The absolute path of the release in the image of its Dockerfile. Undefined without a Dockerfile. */
  readonly imagePath: string | undefined
  /** The command that builds it without a container, and the path of the release that it leaves. */
  readonly build: { readonly run: string; readonly releasePath: string } | undefined
  /** The command that runs it in the foreground. */
  readonly program: string | undefined
  readonly port: number | undefined
  /** One clause for each file: `mix.exs: the application my_app`. */
  readonly found: ReadonlyArray<string>
}

/** The folder of a release that a command builds. git ignores it. */
const built = "deployer/temp/release"

/** The files of the last commit. The workspace must not be part of a release. */
const sources = `rm -rf ${built} && mkdir -p ${built} && git archive HEAD . ':!deployer' | tar -xf - -C ${built} && cd ${built}`

const asName = Schema.decodeOption(ReleaseName)

const named = (text: string | undefined): string | undefined =>
  text === undefined
    ? undefined
    : Option.getOrUndefined(asName(text.replace(/[^A-Za-z0-9._-]+/g, "_").replace(/^[.-]+/, "")))

const PackageJson = Schema.parseJson(
  Schema.Struct({
    name: Schema.optional(Schema.String),
    main: Schema.optional(Schema.String),
    scripts: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
  })
)
const decodePackage = Schema.decodeOption(PackageJson)

type Described = Pick<ProjectFacts, "build" | "program"> & { readonly name: string | undefined }

/** Reads one of the files that tell the language. `has` tells whether another file exists. */
type Describe = (text: string, fallback: string, has: (file: string) => boolean) => Described

// The release's own restart runs the old release again, and its stop needs the cookie of the build that is running. A signal needs neither.
const elixir: Describe = (text, fallback) => {
  const name = named(/\bapp:\s*:(\w+)/.exec(text)?.[1])
  return {
    name,
    program: `bin/${name ?? fallback} start`,
    build: {
      run: "export MIX_ENV=prod && mix deps.get --only prod && mix release --overwrite",
      releasePath: "_build/prod/rel"
    }
  }
}

const go: Describe = (text, fallback) => {
  const module = /^module\s+"?([^\s"]+)/m.exec(text)?.[1]
  const name = named(
    module
      ?.replace(/\/v\d+$/, "")
      .split("/")
      .at(-1)
  )
  const file = name ?? fallback
  const releasePath = `${built}/${file}`
  return { name, program: `./${file}`, build: { run: `CGO_ENABLED=0 go build -o ${releasePath} .`, releasePath } }
}

const rust: Describe = (text, fallback) => {
  const name = named(/^\[package\][^[]*?^name\s*=\s*"([^"]+)"/ms.exec(text)?.[1])
  const file = name ?? fallback
  return {
    name,
    program: `./${file}`,
    build: { run: "cargo build --release", releasePath: `target/release/${file}` }
  }
}

const ruby: Describe = () => ({
  name: undefined,
  program: "bundle exec puma",
  build: {
    run: `${sources} && BUNDLE_DEPLOYMENT=true BUNDLE_WITHOUT=development:test bundle install`,
    releasePath: built
  }
})

const node: Describe = (text, _, has) => {
  const { main, name, scripts } = Option.getOrElse(decodePackage(text), (): typeof PackageJson.Type => ({}))
  const install = has("pnpm-lock.yaml")
    ? "pnpm install --prod --frozen-lockfile"
    : has("yarn.lock")
      ? "yarn install --production --frozen-lockfile"
      : has("package-lock.json")
        ? "npm ci --omit=dev"
        : "npm install --omit=dev"
  return {
    name: named(name?.replace(/^@[^/]*\//, "")),
    program: scripts?.["start"] ?? (main === undefined ? "node server.js" : `node ${main}`),
    build: { run: `${sources} && ${install}`, releasePath: built }
  }
}

/** A Rails or Phoenix application has a package.json as well, so that one counts last. */
const languages: ReadonlyArray<readonly [file: string, language: Language, describe: Describe]> = [
  ["mix.exs", "Elixir", elixir],
  ["go.mod", "Go", go],
  ["Cargo.toml", "Rust", rust],
  ["Gemfile", "Ruby", ruby],
  ["package.json", "Node", node]
]

/** Where the image of a Dockerfile most likely holds the release. */
const pathInImage = (dockerfile: DockerfileFacts, language: Language | undefined): string | undefined => {
  const { copiedTo, lastStage, workdir } = dockerfile
  const folder = [workdir, copiedTo].find((path) => path !== undefined && path !== "/")
  return language === "Elixir" && lastStage.some((line) => /\bmix\b.*\brelease\b/.test(line))
    ? `${workdir ?? "/app"}/_build/prod/rel`
    : folder
}

/** Languages whose program has the same name in each release, with and without an image. */
const interpreted: ReadonlySet<Language | undefined> = new Set(["Elixir", "Ruby", "Node"])

/** The image's program as a command in the release. A compiled program that is copied alone is the release. */
const programInImage = (
  { copiedTo, program = [] }: DockerfileFacts,
  language: Language | undefined,
  folder: string
): string | undefined => {
  const [file = "", ...args] = program
  const alone = folder.slice(folder.lastIndexOf("/") + 1)
  if (file === folder) return [`./${alone}`, ...args].join(" ")
  if (file.startsWith(`${folder}/`)) return [`.${file.slice(folder.length)}`, ...args].join(" ")
  return program.length === 0 && copiedTo === folder && (language === "Go" || language === "Rust")
    ? `./${alone}`
    : undefined
}

/** The value that `init` fills in if a Dockerfile does not tell the path of the release. */
const usualPath = (language: Language | undefined) => (language === "Elixir" ? "/app/_build/prod/rel" : "/app")

/** Looks at the files of a project. Files that cannot be read count as missing. */
export const projectFacts = Effect.fn("projectFacts")(function* (root: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const names = new Set(yield* Effect.orElseSucceed(fs.readDirectory(root), () => []))
  const read = (file: string) =>
    names.has(file)
      ? Effect.orElseSucceed(fs.readFileString(path.join(root, file)), () => undefined)
      : Effect.succeed(undefined)
  const folder = named(path.basename(root)) ?? "my_app"

  let described: Described | undefined
  let language: Language | undefined
  const found: Array<string> = []
  for (const [file, kind, describe] of languages) {
    const text = yield* read(file)
    if (text === undefined || described !== undefined) continue
    described = describe(text, folder, (other) => names.has(other))
    language = kind
    found.push(described.name === undefined ? `${file}: ${kind}` : `${file}: ${kind}, the name ${described.name}`)
  }

  const dockerfile = yield* read("Dockerfile")
  const image =
    dockerfile === undefined ? undefined : yield* Effect.orElseSucceed(parseDockerfile(dockerfile), () => undefined)
  const inImage = image && pathInImage(image, language)
  if (dockerfile !== undefined) {
    found.push(
      inImage === undefined
        ? "Dockerfile: set releasePath to the path of the release in its image"
        : `Dockerfile: the release is probably ${inImage} in its image`
    )
  }
  return {
    name: described?.name ?? folder,
    language,
    imagePath: dockerfile === undefined ? undefined : (inImage ?? usualPath(language)),
    build: described?.build,
    program:
      (image && inImage !== undefined && !interpreted.has(language)
        ? programInImage(image, language, inImage)
        : undefined) ??
      described?.program ??
      image?.program?.join(" "),
    port: image?.port,
    found
  } satisfies ProjectFacts
})
