/**
 * Rebuilds the decoded root from its flat tables, in two passes without recursion: first an empty
 * object for every value, then what is in them. Sharing and cycles survive. The tape is described,
 * word by word, in native/core/torch/tape.h; the two must change together.
 */
import { endianness } from 'node:os'
import type { NativeTape } from './binding'
import { stringAt } from './catalog'
import { LimitError } from './errors'
import { NumpyArray } from './numpy'
import { PyGlobal, PyObject } from './python'
import type { Session } from './session'
import type { Storage } from './storage'
import type { Tensor } from './tensor'

const Type = {
  none: 0,
  false: 1,
  true: 2,
  int: 3,
  bigint: 4,
  float: 5,
  str: 6,
  bytes: 7,
  list: 8,
  set: 9,
  dict: 10,
  global: 11,
  object: 12,
  tensor: 13,
  complex: 14,
  array: 15,
  storage: 16,
} as const

/** numpy's sign for the byte order of this machine. */
const HOST_ORDER = endianness() === 'LE' ? '<' : '>'

const NO_VALUE = 0xffff_ffff

/** Makes what the tape only refers to. */
export interface Makers {
  session: Session
  tensor(row: number): Tensor
  storage(index: number): Storage
}

/** The root as JavaScript values. */
export function rootOf(tape: NativeTape, makers: Makers): unknown {
  return new TapeReader(tape, makers).read()
}

/** An object whose contents come in the second pass. */
type Container = unknown[] | Set<unknown> | Map<unknown, unknown> | PyObject
type Writable<T> = { -readonly [Key in keyof T]: T[Key] }

const EMPTY: readonly unknown[] = []

class TapeReader {
  readonly #tape: NativeTape
  readonly #makers: Makers
  readonly #words: Uint32Array
  readonly #values: unknown[] = []
  readonly #unfilled: Container[] = []
  /** Where in the words the contents of each of those begin. */
  readonly #places: number[] = []
  #at = 0

  constructor(tape: NativeTape, makers: Makers) {
    this.#tape = tape
    this.#makers = makers
    this.#words = tape.words
  }

  read(): unknown {
    while (this.#at < this.#words.length) this.#values.push(this.#make())
    for (const [i, container] of this.#unfilled.entries()) {
      this.#at = this.#places[i]!
      this.#fill(container)
    }
    return this.#values[this.#tape.root]
  }

  #next(): number {
    return this.#words[this.#at++]!
  }

  #string(): string {
    return stringAt(this.#tape.strings, this.#next())
  }

  #value(): unknown {
    return this.#values[this.#next()]
  }

  /** The value at the cursor, empty if it is a container; the cursor goes on to the next one. */
  #make(): unknown {
    switch (this.#next()) {
      case Type.none:
        return null
      case Type.false:
        return false
      case Type.true:
        return true
      case Type.int:
        return integer(this.#next(), this.#next() | 0)
      case Type.bigint:
        return this.#bigint(this.#string())
      case Type.float:
        return this.#tape.reals[this.#next()]
      case Type.str:
        return this.#string()
      case Type.bytes:
        return new Uint8Array(this.#tape.bytes, this.#next(), this.#next())
      case Type.list:
        return this.#later([], 1)
      case Type.set:
        return this.#later(new Set(), 1)
      case Type.dict:
        return this.#later(new Map(), 2)
      case Type.global:
        return new PyGlobal(this.#string(), this.#string())
      case Type.object:
        return this.#object()
      case Type.tensor:
        return this.#makers.tensor(this.#next())
      case Type.complex: {
        const at = this.#next()
        return { re: this.#tape.reals[at], im: this.#tape.reals[at + 1] }
      }
      case Type.array:
        return this.#array()
      case Type.storage:
        return this.#makers.storage(this.#next())
      default:
        throw new Error(`the tape has an unknown type at word ${this.#at - 1}`)
    }
  }

  /** Remembers a container and passes over its contents: `width` words for each of them. */
  #later(container: Container, width: number): Container {
    this.#postpone(container)
    this.#skip(width)
    return container
  }

  #postpone(container: Container): void {
    this.#unfilled.push(container)
    this.#places.push(this.#at)
  }

  #skip(width: number): void {
    const count = this.#next()
    this.#at += count * width
  }

  #object(): PyObject {
    const object = new PyObject()
    this.#postpone(object)
    this.#at += 3
    this.#skip(1)
    this.#skip(1)
    this.#skip(2)
    this.#at += 1
    return object
  }

  #bigint(text: string): bigint {
    const isNegative = text.startsWith('-')
    const digits = isNegative ? text.slice(1) : text
    try {
      return isNegative ? -BigInt(digits) : BigInt(digits)
    } catch {
      throw new LimitError(
        'LIMIT_STRING',
        `an integer of ${digits.length} digits is larger than a BigInt can be`,
        { path: this.#makers.session.path },
        { limitName: 'string', limit: 2 ** 28, actual: digits.length },
      )
    }
  }

  #array(): NumpyArray {
    const { session } = this.#makers
    const written = this.#string()
    // Elements are given in this machine's byte order, whatever the file's.
    const isOrdered = written.startsWith('<') || written.startsWith('>')
    const isForeign = isOrdered && !written.startsWith(HOST_ORDER)
    const dtype = isOrdered ? HOST_ORDER + written.slice(1) : written
    const row = this.#next()
    const shape = Array.from({ length: this.#next() }, () => this.#next() + this.#next() * 2 ** 32)
    const isFortran = this.#next() !== 0
    const bytes = new Uint8Array(this.#tape.bytes, this.#next(), this.#next())
    const objects = this.#next()
    if (row !== NO_VALUE) {
      return new NumpyArray(session, dtype, shape, { tensor: this.#makers.tensor(row) })
    }
    if (objects === 0) return new NumpyArray(session, dtype, shape, { bytes, isFortran, isForeign })
    // The list of its values may come later.
    const items = () => this.#values[objects - 1] as readonly unknown[]
    return new NumpyArray(session, dtype, shape, { items })
  }

  #fill(container: Container): void {
    if (Array.isArray(container)) {
      for (let left = this.#next(); left > 0; --left) container.push(this.#value())
    } else if (container instanceof Set) {
      for (let left = this.#next(); left > 0; --left) container.add(this.#value())
    } else if (container instanceof Map) {
      for (let left = this.#next(); left > 0; --left) container.set(this.#value(), this.#value())
    } else {
      this.#fillObject(container)
    }
  }

  #fillObject(object: Writable<PyObject>): void {
    const callable = this.#next()
    if (callable === NO_VALUE) {
      // A persistent id that stands for no storage: its only argument is the id.
      object.name = 'persistent_id'
    } else {
      const called = this.#values[callable]
      if (called instanceof PyGlobal) {
        object.module = called.module
        object.name = called.name
      } else {
        object.callable = called
      }
    }
    const hasArgs = this.#next() !== 0
    const args = this.#value()
    if (hasArgs) object.args = callable !== NO_VALUE && Array.isArray(args) ? args : [args]
    const states = this.#list()
    if (states.length > 0) object.state = states.length === 1 ? states[0] : states
    const items = this.#list()
    if (items.length > 0) object.items = items
    const count = this.#next()
    if (count > 0) {
      const entries = new Map<unknown, unknown>()
      for (let left = count; left > 0; --left) entries.set(this.#value(), this.#value())
      object.entries = entries
    }
    const kwargs = this.#next()
    if (kwargs > 0) object.kwargs = this.#values[kwargs - 1]
  }

  /** Mostly of nothing. */
  #list(): readonly unknown[] {
    const count = this.#next()
    if (count === 0) return EMPTY
    const list: unknown[] = []
    for (let left = count; left > 0; --left) list.push(this.#value())
    return list
  }
}

/** A two's complement integer of 64 bits: a number where that is exact. */
function integer(low: number, high: number): number | bigint {
  const value = high * 2 ** 32 + low
  return Number.isSafeInteger(value) ? value : (BigInt(high) << 32n) | BigInt(low)
}
