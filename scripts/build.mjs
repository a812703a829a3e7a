// Bundles the binary: dist/bin.js and its chunks. `--stale` does nothing where dist is newer than its sources.
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))
const dist = path.join(root, "dist")
const binary = path.join(dist, "bin.js")

const newest = (folder) =>
  Math.max(
    ...fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => fs.statSync(path.join(entry.parentPath ?? entry.path, entry.name)).mtimeMs)
  )

const isFresh = () =>
  fs.existsSync(binary) &&
  fs.statSync(binary).mtimeMs > Math.max(newest(path.join(root, "src")), fs.statSync(import.meta.filename).mtimeMs)

if (!process.argv.includes("--stale") || !isFresh()) {
  const began = Date.now()
  const { outputFiles } = await build({
    entryPoints: { bin: path.join(root, "src/bin.ts") },
    outdir: dist,
    chunkNames: "chunks/[name]-[hash]",
    bundle: true,
    splitting: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node20.11",
    // Native code, and what is loaded only where it is needed.
    external: ["better-sqlite3", "ssh2", "jiti"],
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none",
    logLevel: "error",
    // Some dependencies are CommonJS inside and ask for Node's own modules with `require`.
    banner: {
      js: 'import{createRequire as $createRequire}from"node:module";const require=$createRequire(import.meta.url);'
    }
  }).catch(() => process.exit(1))
  // Chunks are named by their content and the binary comes last, by rename: whoever runs it meanwhile has a whole one.
  fs.mkdirSync(path.join(dist, "chunks"), { recursive: true })
  for (const { path: file, contents } of outputFiles.toSorted(
    (a, b) => Number(a.path === binary) - Number(b.path === binary)
  )) {
    const temporary = `${file}.${process.pid}`
    fs.writeFileSync(temporary, contents, { mode: file === binary ? 0o755 : 0o644 })
    fs.renameSync(temporary, file)
  }
  if (!process.argv.includes("--stale")) {
    const current = new Set(outputFiles.map((file) => path.basename(file.path)))
    for (const name of fs.readdirSync(path.join(dist, "chunks"))) {
      if (!current.has(name)) fs.rmSync(path.join(dist, "chunks", name))
    }
  }
  const size = outputFiles.reduce((sum, file) => sum + file.contents.length, 0)
  console.log(`dist/bin.js: ${Math.round(size / 1000)} kB in ${outputFiles.length} files, ${Date.now() - began} ms`)
}
