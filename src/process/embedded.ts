import type { TaskSpec } from "../Spec.ts"

/**
 * The description of the command line. `scripts/build.mjs` writes it into the binary, so that help and completion need not load the commands;
 * from source it is undefined.
 */
export const embedded: TaskSpec | undefined = undefined
