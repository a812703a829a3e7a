import process from "node:process"

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

/** Why this Node cannot run deployer; undefined if it can. */
export const tooOld: string | undefined =
  major > 20 || (major === 20 && minor >= 11)
    ? undefined
    : `Node ${process.versions.node} is too old: deployer needs Node 20.11 or a newer one. node --version tells which one runs`
