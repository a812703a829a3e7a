/**
 * The help of each task as `Main` prints it, with colours, by the words of the task (none: the whole command line), each with a `\0`
 * after it, which no argument can hold. `scripts/build.mjs` renders it into the binary; from source there is none.
 */
export const helpPages: ReadonlyMap<string, string> = new Map()
