/**
 * What of a pickle has no counterpart in JavaScript, as inert data: nothing is ever looked up or
 * called.
 */
import { type InspectOptions, inspect } from 'node:util'

/** A class or function that the pickle names. */
export class PyGlobal {
  readonly module: string
  readonly name: string

  constructor(module: string, name: string) {
    this.module = module
    this.name = name
  }

  /** `module.name` */
  toString(): string {
    return this.module === '' ? this.name : `${this.module}.${this.name}`
  }

  [inspect.custom](): string {
    return `PyGlobal(${this})`
  }
}

/** An object of a class, or the result of a function, as the pickle describes it. */
export class PyObject {
  /** Of the class or function called; empty where that is no global. */
  readonly module: string = ''
  readonly name: string = ''
  /** What is called, where that is no global. */
  declare readonly callable?: unknown
  /** Arguments it is made with. */
  declare readonly args?: readonly unknown[]
  /** Keyword arguments, mostly a Map. */
  declare readonly kwargs?: unknown
  /**
   * What `__setstate__` would be given, mostly a Map of attributes; an array of those where there
   * are several.
   */
  declare readonly state?: unknown
  /** What was appended, as to a list. */
  declare readonly items?: readonly unknown[]
  /** What was set by key, as in a dict. */
  declare readonly entries?: ReadonlyMap<unknown, unknown>

  /** `module.name` */
  toString(): string {
    return this.module === '' ? this.name : `${this.module}.${this.name}`
  }

  [inspect.custom](depth: number, options: InspectOptions): string {
    const { module: _, name: __, ...content } = this
    if (depth < 0) return `[PyObject ${this}]`
    return `PyObject ${this} ${inspect(content, { ...options, depth })}`
  }
}

/** A complex number. */
export interface Complex {
  re: number
  im: number
}

/**
 * Strings of fixed width in a numpy array: `S` single bytes (Latin-1), `U` four-byte code points in
 * host order.
 */
export function fixedStrings(bytes: Uint8Array, count: number, kind: 'S' | 'U'): string[] {
  const points = kind === 'S' ? bytes : new Uint32Array(bytes.slice().buffer)
  const width = count === 0 ? 0 : points.length / count
  return Array.from({ length: count }, (_, i) => {
    // numpy pads with zeros and cuts them off again.
    let end = (i + 1) * width
    while (end > i * width && points[end - 1] === 0) --end
    let text = ''
    for (const point of points.subarray(i * width, end)) {
      text += String.fromCodePoint(point > 0x10_ffff ? 0xfffd : point)
    }
    return text
  })
}
