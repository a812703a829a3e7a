/**
 * Chance that can be had again: the same seed throws the same dice.
 */

/** A source of chance. */
export class Dice {
  private state: number

  constructor(seed: number) {
    this.state = seed
  }

  /** From 0 to 1, without 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  /** True so often as `share` says: 0 never, 1 always. */
  chance(share: number): boolean {
    return this.next() < share
  }

  /** One of them. */
  pick<A>(items: readonly [A, ...ReadonlyArray<A>]): A {
    return items[Math.floor(this.next() * items.length)] ?? items[0]
  }

  /** One of them, each as often as its weight says. */
  weighted<A>(items: ReadonlyArray<readonly [weight: number, item: A]>): A | undefined {
    let left = this.next() * items.reduce((total, [weight]) => total + weight, 0)
    for (const [weight, item] of items) {
      left -= weight
      if (left < 0) return item
    }
    return items.at(-1)?.[1]
  }
}
