/**
 * Whether the suites that try many cases try all of them: each crash on each userland, 3,000 simulated worlds, the contract of a host over each
 * transport on each userland, each package manager with each Node. That takes hours on a slow machine. Otherwise a seed says which part is tried, the same each time.
 */
export const isExhaustive = process.env["EXHAUSTIVE"] === "1"

/** The number of tries out of so many: a third, unless all cases run. */
export const triesOf = (count: number): number => (isExhaustive ? count : Math.ceil(count / 3))
