/**
 * Loads the user's config: a module in TypeScript or JavaScript, without a build step and without `node_modules` beside it.
 */

import { readFile, realpath } from "node:fs/promises"
import { dirname, relative } from "node:path"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Predicate from "effect/Predicate"
import { typed } from "../domain/Invocation.ts"
import { cacheFolder } from "../internal/cacheFolder.ts"
import { codeOf } from "../internal/files.ts"
import { messageOf } from "../internal/messageOf.ts"
import { nodeRequire } from "../internal/nodeRequire.ts"
import { wholePackages } from "./wholePackages.ts"

/** The reason why a config could not be loaded: one line that continues `the config is not usable:`. */
export interface LoadFailure {
  readonly mistake: string
}

const failure = (mistake: string): LoadFailure => ({ mistake })

const firstLine = (text: string): string => text.split("\n")[0]?.trim() ?? ""

const textOf = (cause: unknown): string =>
  cause instanceof Error ? cause.message : (messageOf(cause) ?? Inspectable.toStringUnknown(cause, 0))

/**
 * The modules of the running deployer that a config may import, by the names under which it imports them. Each is loaded if a config may
 * use it.
 */
export type Modules = Readonly<Record<string, () => Promise<object>>>

/** The modules of a package: its index and, by their own paths, the namespaces that the index exports. */
const withPaths = (name: string, index: object): ReadonlyArray<readonly [string, unknown]> => [
  [name, index],
  ...Object.entries(index)
    .filter(([key, value]) => /^[A-Z]/.test(key) && typeof value === "object")
    .map(([key, value]): readonly [string, unknown] => [`${name}/${key}`, value])
]

/**
 * The modules that the config at hand may reach. Whatever the project has installed, there is one Effect in one process. Effect itself is
 * only loaded for a config that may use it, because loading all of it takes a while.
 */
const reachable = (source: string, own: Modules): Effect.Effect<Record<string, unknown>, LoadFailure> => {
  // Directly, or through another file of the project.
  const mayReach = (name: string) =>
    new RegExp(`\\b(?:from|import|require)\\s*\\(?\\s*["'\`](?:${name}["'\`/]|\\.{0,2}/)`).test(source)
  const part = (name: string, load: () => Promise<object>) =>
    Effect.tryPromise({ try: load, catch: (cause) => failure(`${name} does not load: ${textOf(cause)}`) })
  const ours = Object.entries(own)
    .filter(([name]) => mayReach(name))
    .map(([name, load]) => Effect.map(part(name, load), (index) => [[name, index] as const]))
  const packages = Object.entries(wholePackages)
    .filter(([name]) => mayReach(name))
    .map(([name, load]) => Effect.map(part(name, load), (index) => withPaths(name, index)))
  return Effect.map(Effect.all([...ours, ...packages]), (parts) => Object.fromEntries(parts.flat()))
}

/** The user's file in which an error was thrown. */
const thrownIn = (file: string, cause: unknown): string => {
  const frames = cause instanceof Error ? (cause.stack ?? "").split("\n") : []
  for (const frame of frames) {
    const [, where] = /^\s+at (?:.*\()?(?:file:\/\/)?(\/[^():]+):\d+:\d+\)?$/.exec(frame) ?? []
    if (where !== undefined && !/\/node_modules\/|\/dist\//.test(where)) return where
  }
  return file
}

const explain = (file: string, cause: unknown): LoadFailure => {
  const text = textOf(cause)
  const name = (path: string) => (path === file ? "it" : relative(dirname(file), path))
  const [, problem, where, line, column] = /^ParseError:\s*(.*?)\s*\n\s*(.+):(\d+):(\d+)/s.exec(text) ?? []
  if (problem !== undefined && where !== undefined && line !== undefined) {
    const place = where === file ? "" : `${name(where)}, `
    // The parser counts columns from 0, editors from 1.
    return failure(`${place}line ${line}, column ${Number(column) + 1}: ${problem}`)
  }
  const [, missing] = /^Cannot find (?:module|package) '([^']+)'/.exec(text) ?? []
  const code = codeOf(cause)
  if (missing !== undefined && (code === "MODULE_NOT_FOUND" || code === "ERR_MODULE_NOT_FOUND")) {
    const [, by] = /Require stack:\n- (.+)/.exec(text) ?? []
    const importer = by === undefined ? "it" : name(by)
    return failure(
      /^[./]/.test(missing)
        ? `${importer} imports "${missing}", which does not exist`
        : `${importer} imports "${missing}", which is not installed in the project (effect-deployer, effect and @effect/platform need not be)`
    )
  }
  // The form of a missing import after compilation.
  const plain = firstLine(text).replace(/\(0, ?_\w+\.(\w+)\)|\(0 , _\w+\.(\w+)\)/, (_, one, other) => one ?? other)
  return failure(`importing ${name(thrownIn(file, cause))} failed: ${plain === "" ? "it threw an empty error" : plain}`)
}

const parts = ["targets", "groups", "builders"]

/** The module's default export, or its named exports together. */
const exported = (module: unknown): Effect.Effect<unknown, LoadFailure> => {
  if (!Predicate.isObject(module)) return Effect.succeed(module)
  if (Predicate.hasProperty(module, "default") && module.default !== undefined) return Effect.succeed(module.default)
  const named = Object.entries(module).filter(([key]) => parts.includes(key))
  return named.length > 0
    ? Effect.succeed(Object.fromEntries(named))
    : Effect.fail(failure("exports no config: end it with export default config({ targets: { … }, builders: { … } })"))
}

// The services that the user's Effect requires are unknown here. A missing one is a defect, caught below.
const isProgram = (value: unknown): value is Effect.Effect<unknown, unknown> => Effect.isEffect(value)

const evaluated = (value: unknown): Effect.Effect<unknown, LoadFailure> =>
  isProgram(value)
    ? Effect.catchAllCause(value, (cause) =>
        Cause.isInterruptedOnly(cause)
          ? Effect.interrupt
          : Effect.fail(failure(`the Effect that it exports failed: ${firstLine(textOf(Cause.squash(cause)))}`))
      )
    : // It has nothing of its own, and would pass for an empty config.
      Predicate.isPromiseLike(value)
      ? Effect.fail(failure("exports a Promise: await it in the file (export default await …), or export an Effect"))
      : Effect.succeed(value)

/** Whether the cache failed, for instance on a full disk, and not the config. */
const isCacheFailure = (cause: unknown, cache: string): boolean =>
  Predicate.hasProperty(cause, "path") && typeof cause.path === "string" && cause.path.startsWith(`${cache}/`)

/**
 * The whole config as written, not decoded. It may import the modules in `own`. The compiled code is kept for the next time, by the hash of
 * the source.
 */
export const loadConfig = (path: string, own: Modules): Effect.Effect<unknown, LoadFailure> =>
  Effect.gen(function* () {
    // The file that a link leads to may import its neighbors.
    const file = yield* Effect.orElseSucceed(
      Effect.tryPromise(() => realpath(path)),
      () => path
    )
    if (file.includes("\\")) {
      return yield* Effect.fail(
        failure(
          "a name in its path has a backslash, which the loader of TypeScript takes for a slash: rename that folder"
        )
      )
    }
    const source = yield* Effect.tryPromise({
      try: () => readFile(file, "utf8"),
      catch: (cause) =>
        failure(codeOf(cause) === "ENOENT" ? `it does not exist: write it, or run ${typed("init")}` : textOf(cause))
    })
    const virtualModules = yield* reachable(source, own)
    const { createJiti } = yield* Effect.try({
      try: (): typeof import("jiti") => nodeRequire("jiti"),
      catch: (cause) => failure(`jiti, which loads it, is not installed with deployer: ${firstLine(textOf(cause))}`)
    })
    const load = (fsCache: string | false) =>
      createJiti(file, { fsCache, moduleCache: false, interopDefault: false, virtualModules }).import(file)
    const cache = cacheFolder()
    const module = yield* Effect.tryPromise({
      try: () =>
        cache === undefined
          ? load(false)
          : load(cache).catch((cause) => (isCacheFailure(cause, cache) ? load(false) : Promise.reject(cause))),
      catch: (cause) => explain(file, cause)
    })
    return yield* Effect.flatMap(exported(module), evaluated)
  })
