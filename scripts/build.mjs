// Bundles the binary: dist/bin.js, its chunks, and the program as one script. `--stale` does nothing if dist is newer than its sources.

import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))
const dist = path.join(root, "dist")
const stale = process.argv.includes("--stale")

// The packages that a config may import as a whole. In one bundle with the program these would put all of Effect into each command's way,
// so they get a bundle of their own: the same version, found by the same global state.
const wholes = { effect: "effect", platform: "@effect/platform" }

/** A plugin that replaces the text of a module of src. */
const replacing = (file, contents) => ({
  name: file,
  setup: ({ onLoad }) =>
    onLoad({ filter: new RegExp(`/src/${file.replaceAll(".", "\\.")}$`) }, async () => ({
      contents: await contents(),
      loader: "js",
      resolveDir: path.join(root, path.dirname(path.join("src", file)))
    }))
})

/** `$load` is a parameter of the script: it imports a file of this folder. */
const ownBundles = replacing(
  "workspace/wholePackages.ts",
  () =>
    `export const wholePackages = {${Object.entries(wholes).map(
      ([file, name]) => `${JSON.stringify(name)}: () => $load("./whole/${file}.js")`
    )}}`
)

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
const describe = async () => {
  const { outputFiles } = await build({ ...common, entryPoints: ["scripts/spec.ts"], plugins: [ownBundles] })
  const program = path.join(dist, `spec-${process.pid}.mjs`)
  fs.writeFileSync(program, outputFiles[0].contents)
  try {
    return execFileSync(process.execPath, [program], { encoding: "utf8" })
  } finally {
    fs.rmSync(program)
  }
}

/**
 * The program is a script and no module, because Node keeps compiled code of scripts alone. Its text is one function, and all that would be loaded
 * with `import` is in it or goes through its parameters.
 */
const bundleProgram = async (embeddedSpec) => {
  const { outputFiles } = await build({
    ...common,
    format: "cjs",
    entryPoints: ["src/process/program.ts"],
    plugins: [ownBundles, embeddedSpec],
    define: { "import.meta.url": "$url" },
    supported: { "dynamic-import": false },
    banner: { js: "(function(require,$load,$url){const module={exports:{}};" },
    footer: { js: "return module.exports})" }
  }).catch(() => process.exit(1))
  return outputFiles[0].contents
}

const write = (file, contents, mode) => {
  const temporary = `${file}.${process.pid}`
  fs.writeFileSync(temporary, contents, { mode })
  fs.renameSync(temporary, file)
}

const modified = (file) => (fs.existsSync(file) ? fs.statSync(file).mtimeMs : 0)

const newest = (folder) =>
  Math.max(
    ...fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => modified(path.join(entry.parentPath ?? entry.path, entry.name)))
  )

/** Writes a bundle to a folder, its entry last and by rename: a process that runs it meanwhile has all of the old or of the new. */
const bundle = async (folder, entryPoints, plugins, others = {}) => {
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
  for (const [name, contents] of Object.entries(others)) write(path.join(chunks, name), contents, 0o644)
  for (const file of outputFiles.toSorted((a, b) => Number(isChunk(b)) - Number(isChunk(a)))) {
    write(file.path, file.contents, isChunk(file) ? 0o644 : 0o755)
  }
  // Chunks of earlier builds go when nobody can be running them any more.
  const current = new Set([...outputFiles.map((file) => path.basename(file.path)), ...Object.keys(others)])
  for (const name of fs.readdirSync(chunks)) {
    const file = path.join(chunks, name)
    if (!current.has(name) && began - modified(file) > 3_600_000) fs.rmSync(file)
  }
  const files = [...outputFiles.map((file) => file.contents), ...Object.values(others)]
  const size = files.reduce((sum, contents) => sum + contents.length, 0)
  const names = Object.keys(entryPoints).map((name) => path.relative(root, path.join(folder, `${name}.js`)))
  console.log(`${names.join(", ")}: ${Math.round(size / 1000)} kB in ${files.length} files, ${Date.now() - began} ms`)
}

const tools = Math.max(
  ...["scripts/build.mjs", "scripts/spec.ts", "package-lock.json"].map((file) => modified(path.join(root, file)))
)
const isFresh = (file, ...sources) => stale && modified(path.join(dist, file)) > Math.max(tools, ...sources)

if (!isFresh("whole/effect.js")) await bundle(path.join(dist, "whole"), wholes, [])
if (!isFresh("bin.js", newest(path.join(root, "src")))) {
  const spec = await describe()
  const embeddedSpec = replacing(
    "process/embedded.ts",
    () => `export const embedded = JSON.parse(${JSON.stringify(spec)})`
  )
  const program = await bundleProgram(embeddedSpec)
  const hash = createHash("sha256").update(program).digest("hex").slice(0, 16)
  const file = `program-${hash}.cjs`
  const loader = replacing(
    "process/loadProgram.ts",
    () => `import { loadScript } from "./codeCache.ts"
export const loadProgram = () => {
  const { keepCode, value } = loadScript(new URL("./chunks/${file}", import.meta.url), "${hash}", (file) => import(file))
  return Promise.resolve({ ...value, keepCode })
}`
  )
  await bundle(dist, { bin: "src/bin.ts" }, [embeddedSpec, loader], { [file]: program })
}
