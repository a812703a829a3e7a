import { setFlagsFromString } from "node:v8"

/**
 * Keeps this process small. A release passes beside a heap of some 20 MB, and by default V8 would let 100 MB of what has passed
 * pile up before it looks for garbage. It looks more often then, which takes some more time of the cores: so not while the
 * program itself is still being loaded.
 */
export const keepHeapSmall = (): void => {
  setFlagsFromString("--optimize-for-size")
  setFlagsFromString("--heap-growing-percent=150")
  setFlagsFromString("--semi-space-growth-factor=1")
}
