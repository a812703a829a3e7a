/**
 * Lets each worker hear the runner between two tests. Tests that run without a pause for a minute, as those of shell functions do on a slow machine, would
 * otherwise end with the runner's "Timeout calling onTaskUpdate".
 */
import { afterEach } from "vitest"

afterEach(() => new Promise<void>((resolve) => setImmediate(resolve)))
