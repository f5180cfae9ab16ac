/**
 * What of a pickle has no counterpart in JavaScript, as inert data: nothing is ever looked up or
 * called.
 */
import { inspect } from 'node:util'
import { printable } from './printable'

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
    return `PyGlobal(${printable(String(this))})`
  }
}

/** What inspect() shows of an object, the same each time: by that it sees cycles. */
const shown = new WeakMap<PyObject, object>()

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

  [inspect.custom](depth: number): unknown {
    if (depth < 0) return `[PyObject ${printable(String(this))}]`
    let content = shown.get(this)
    if (content === undefined) {
      const { module: _, name: __, ...fields } = this
      const label = class {}
      Object.defineProperty(label, 'name', { value: `PyObject ${printable(String(this))}` })
      content = Object.assign(Object.create(label.prototype), fields) as object
      shown.set(this, content)
    }
    return content
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
