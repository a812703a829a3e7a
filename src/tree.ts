/**
 * The command line: the tree of all commands. The library has no part in it, and so it needs no parser.
 */
import { tasks } from "./Cli.ts"
import type { FailureOf, ServicesOf } from "./commands/Task.ts"
import { treeOf } from "./commandTree.ts"

type AnyTask = (typeof tasks)[number]

/** The command line. */
export const tree = treeOf<FailureOf<AnyTask>, ServicesOf<AnyTask>>(tasks)
