// Bundles the binary: dist/bin.js and its chunks. `--stale` does nothing where dist is newer than its sources.
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))
const dist = path.join(root, "dist")
const stale = process.argv.includes("--stale")

// What a user's config may import as a whole. In one graph with the binary these would put all of Effect into the
// chunks that every command loads, so they get a graph of their own: the same version, found by the same global state.
const wholes = { effect: "effect", platform: "@effect/platform" }

const ownGraph = {
  name: "own-graph",
  setup: ({ onResolve }) => {
    for (const [file, name] of Object.entries(wholes)) {
      onResolve({ filter: new RegExp(`^${name}$`) }, ({ kind }) =>
        kind === "dynamic-import" ? { path: `../whole/${file}.js`, external: true } : undefined
      )
    }
  }
}

const common = {
  bundle: true,
  write: false,
  format: "esm",
  platform: "node",
  target: "node20.11",
  absWorkingDir: root,
  // Native code, and packages that are loaded only when they are needed.
  external: ["ssh2", "jiti", "dockerfile-ast"],
  minifyWhitespace: true,
  minifySyntax: true,
  minifyIdentifiers: true,
  legalComments: "none",
  logLevel: "error",
  // Some dependencies are CommonJS inside and ask for Node's own modules with `require`.
  banner: {
    js: 'import{createRequire as $createRequire}from"node:module";const require=$createRequire(import.meta.url);'
  }
}

/** The description of the command line, so that the binary need not load the commands for help and completion. */
const embeddedSpec = {
  name: "embedded-spec",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/src\/process\/embedded\.ts$/ }, async () => {
      const { outputFiles } = await build({ ...common, entryPoints: ["scripts/spec.ts"], plugins: [ownGraph] })
      const program = path.join(dist, `spec-${process.pid}.mjs`)
      fs.writeFileSync(program, outputFiles[0].contents)
      try {
        const spec = execFileSync(process.execPath, [program], { encoding: "utf8" })
        return { contents: `export const embedded = JSON.parse(${JSON.stringify(spec)})`, loader: "js" }
      } finally {
        fs.rmSync(program)
      }
    })
  }
}

const modified = (file) => (fs.existsSync(file) ? fs.statSync(file).mtimeMs : 0)

const newest = (folder) =>
  Math.max(
    ...fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => modified(path.join(entry.parentPath ?? entry.path, entry.name)))
  )

/** Writes a graph to a folder, its entry last and by rename: whoever runs it meanwhile has all of the old or of the new. */
const bundle = async (folder, entryPoints, plugins) => {
  const began = Date.now()
  const { outputFiles } = await build({
    ...common,
    entryPoints,
    plugins,
    outdir: folder,
    chunkNames: "chunks/[name]-[hash]",
    splitting: true
  }).catch(() => process.exit(1))
  const chunks = path.join(folder, "chunks")
  const isChunk = (file) => path.dirname(file.path) === chunks
  fs.mkdirSync(chunks, { recursive: true })
  for (const file of outputFiles.toSorted((a, b) => Number(isChunk(b)) - Number(isChunk(a)))) {
    const temporary = `${file.path}.${process.pid}`
    fs.writeFileSync(temporary, file.contents, { mode: isChunk(file) ? 0o644 : 0o755 })
    fs.renameSync(temporary, file.path)
  }
  // Chunks of earlier builds go when nobody can be running them any more.
  const current = new Set(outputFiles.map((file) => path.basename(file.path)))
  for (const name of fs.readdirSync(chunks)) {
    const file = path.join(chunks, name)
    if (!current.has(name) && began - modified(file) > 3_600_000) fs.rmSync(file)
  }
  const size = outputFiles.reduce((sum, file) => sum + file.contents.length, 0)
  const names = Object.keys(entryPoints).map((name) => path.relative(root, path.join(folder, `${name}.js`)))
  console.log(
    `${names.join(", ")}: ${Math.round(size / 1000)} kB in ${outputFiles.length} files, ${Date.now() - began} ms`
  )
}

const tools = Math.max(
  ...["scripts/build.mjs", "scripts/spec.ts", "package-lock.json"].map((file) => modified(path.join(root, file)))
)
const isFresh = (file, ...sources) => stale && modified(path.join(dist, file)) > Math.max(tools, ...sources)

if (!isFresh("whole/effect.js")) await bundle(path.join(dist, "whole"), wholes, [])
if (!isFresh("bin.js", newest(path.join(root, "src"))))
  await bundle(dist, { bin: "src/bin.ts" }, [ownGraph, embeddedSpec])
