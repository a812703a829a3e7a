/**
 * A Node that can make zstd (22.15 or newer; it also has SQLite), and the program that unpacks it. If the tests run with an older
 * Node, `NODE_WITH_ZSTD` names a newer one.
 */
import * as zlib from "node:zlib"
import { which } from "./userland.ts"

/** Its file. */
export const nodeWithZstd: string | undefined =
  "zstdCompress" in zlib ? process.execPath : process.env["NODE_WITH_ZSTD"]

/** The reason why tests with zstd cannot run here. Undefined if they can. Also undefined in CI, so that a missing part fails there. */
export const missingZstd: string | undefined =
  process.env["CI"] === "true"
    ? undefined
    : nodeWithZstd === undefined
      ? "this Node has none, and NODE_WITH_ZSTD names no other"
      : which("zstd") === undefined
        ? "zstd not installed"
        : undefined
