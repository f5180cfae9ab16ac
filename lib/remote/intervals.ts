/** Which bytes of something there are: ranges [start, end) in order that do not touch. */
export class Intervals {
  readonly #starts: number[] = []
  readonly #ends: number[] = []

  add(start: number, end: number): void {
    if (start >= end) return
    // Bytes arrive one after another, mostly.
    const last = this.#ends.length - 1
    if (last >= 0 && this.#ends[last] === start) {
      this.#ends[last] = end
      return
    }
    const from = this.#firstEndAtLeast(start)
    let to = from
    while (to < this.#starts.length && this.#starts[to]! <= end) ++to
    if (to > from) {
      start = Math.min(start, this.#starts[from]!)
      end = Math.max(end, this.#ends[to - 1]!)
    }
    this.#starts.splice(from, to - from, start)
    this.#ends.splice(from, to - from, end)
  }

  get isEmpty(): boolean {
    return this.#starts.length === 0
  }

  *[Symbol.iterator](): Generator<readonly [start: number, end: number]> {
    for (const [i, start] of this.#starts.entries()) yield [start, this.#ends[i]!]
  }

  has(start: number, end: number): boolean {
    if (start >= end) return true
    const i = this.#firstEndAtLeast(start + 1)
    return i < this.#starts.length && this.#starts[i]! <= start && this.#ends[i]! >= end
  }

  /** What of [start, end) is not there. */
  gaps(start: number, end: number): [start: number, end: number][] {
    const found: [number, number][] = []
    for (let i = this.#firstEndAtLeast(start + 1); start < end; ++i) {
      const next = Math.min(this.#starts[i] ?? end, end)
      if (next > start) found.push([start, next])
      start = this.#ends[i] ?? end
    }
    return found
  }

  /** How many of [start, end) are there. */
  covered(start: number, end: number): number {
    return this.gaps(start, end).reduce((left, gap) => left - (gap[1] - gap[0]), end - start)
  }

  #firstEndAtLeast(offset: number): number {
    let [low, high] = [0, this.#ends.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#ends[middle]! < offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
