import { createRequire } from "node:module"

/**
 * Loads a package that is installed with deployer, when it is needed. With `import`, Node would search the package's text for its exports, which takes
 * as long as running it.
 */
export const nodeRequire = createRequire(import.meta.url)
