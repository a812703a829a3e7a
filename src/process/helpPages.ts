/**
 * The help of each task as `Main` prints it, with colours, by the words of the task (no words: the whole command line), each followed by a `\0`,
 * which no argument can hold. `scripts/build.mjs` renders the pages into the binary; from source the map is empty.
 */
export const helpPages: ReadonlyMap<string, string> = new Map()
