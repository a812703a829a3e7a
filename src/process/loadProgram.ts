import type { main } from "./program.ts"

/** The program, and a way to keep its compiled code for the next time. */
export interface Loaded {
  readonly main: typeof main
  readonly keepCode: () => void
}

/** Loads the program. The build replaces this module by one that loads the bundle and its compiled code: see `codeCache.ts`. */
export const loadProgram = (): Promise<Loaded> =>
  import("./program.ts").then(({ main }) => ({ main, keepCode: () => {} }))
