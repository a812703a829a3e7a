import { setFlagsFromString } from "node:v8"

/**
 * Keeps this process small. A release passes beside a heap of about 20 MB, and by default V8 would let 100 MB of its remains pile up before it
 * collects garbage. More frequent collections take more time of the cores, so this does not run while the program itself is being loaded.
 */
export const keepHeapSmall = (): void => {
  setFlagsFromString("--optimize-for-size")
  setFlagsFromString("--heap-growing-percent=150")
  setFlagsFromString("--semi-space-growth-factor=1")
}

/** Gives these options of V8 their default values again. */
export const restoreHeap = (): void => {
  setFlagsFromString("--no-optimize-for-size")
  // The option above had changed this one as well.
  setFlagsFromString("--max-semi-space-size=0")
  setFlagsFromString("--heap-growing-percent=0")
  setFlagsFromString("--semi-space-growth-factor=2")
}
