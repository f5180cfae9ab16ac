/** Lets so many in at a time; the others wait in order. */
export class Gate {
  readonly places: number
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(places: number) {
    this.places = places
    this.#free = places
  }

  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) --this.#free
    else await new Promise<void>((enter) => this.#waiting.push(enter))
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) ++this.#free
      else next()
    }
  }
}
