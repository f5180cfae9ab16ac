/**
 * Pickles, archives and JSON with one value in another's place: everything that a reader of their
 * contents may meet where it looks for something else.
 */
import { bytes, int, op, text, zip } from './bytes'

/** What is put in the place of a value. */
export interface Substitute {
  readonly name: string
  readonly pickle: Buffer
}

const double = (value: number) => {
  const eight = Buffer.alloc(8)
  eight.writeDoubleBE(value)
  return bytes(0x47, eight)
}

export const SUBSTITUTES: readonly Substitute[] = [
  { name: 'None', pickle: bytes(op.NONE) },
  { name: 'a str', pickle: text('__proto__') },
  { name: '-1', pickle: int(-1) },
  { name: '0', pickle: int(0) },
  { name: '2^53 - 1', pickle: int(2n ** 53n - 1n) },
  { name: '2^62', pickle: int(2n ** 62n) },
  { name: 'nan', pickle: double(Number.NaN) },
  { name: '0.5', pickle: double(0.5) },
  { name: 'a list', pickle: bytes(op.EMPTY_LIST) },
  // 250 is no slot that a small pickle uses.
  {
    name: 'a list in itself',
    pickle: bytes(op.EMPTY_LIST, op.BINPUT, 250, op.BINGET, 250, op.APPEND),
  },
  { name: 'a dict', pickle: bytes(op.EMPTY_DICT) },
]

/** Length of the argument of an opcode: bytes, or where to read it. */
const FIXED: Record<string, number> = {
  '(': 0, '.': 0, '0': 0, '2': 0, N: 0, R: 0, b: 0, a: 0, e: 0, s: 0, u: 0, ']': 0, '}': 0,
  ')': 0, '\x8f': 0, '\x90': 0, t: 0, '\x85': 0, '\x86': 0, '\x87': 0, Q: 0, '\x88': 0,
  '\x89': 0, '\x81': 0, '\x93': 0, '\x94': 0, '\x80': 1, K: 1, M: 2, J: 4, q: 1, r: 4, h: 1,
  j: 4, G: 8, '\x95': 8,
} // biome-ignore format: a table

function argumentOf(data: Buffer, at: number): number {
  const code = String.fromCharCode(data[at]!)
  const fixed = FIXED[code]
  if (fixed !== undefined) return fixed
  if (code === 'X' || code === 'B') return 4 + data.readUInt32LE(at + 1)
  if (code === '\x8c' || code === 'C' || code === '\x8a') return 1 + data[at + 1]!
  if (code === 'c') return data.indexOf('\n', data.indexOf('\n', at) + 1) - at
  throw new Error(`opcode ${data[at]} at ${at} is none of those expected`)
}

/** Values that opcodes take from the stack: a number, or all above a mark. */
const TAKES: Record<string, number | 'mark'> = {
  '0': 1, R: 2, b: 2, a: 2, s: 3, e: 'mark', u: 'mark', t: 'mark', '\x90': 'mark', '\x85': 1,
  '\x86': 2, '\x87': 3, Q: 1, '\x81': 2, '\x93': 2,
} // biome-ignore format: a table

/** Opcodes that leave what they fill where it is. */
const FILLS = new Set(['b', 'a', 's', 'e', 'u', '\x90'])

/** A pickle without frames, and the places right behind its values, in the order of the stream. */
export function placesOf(framed: Buffer): { data: Buffer; places: number[] } {
  const parts: Buffer[] = []
  for (let at = 0; at < framed.length; ) {
    const next = at + 1 + argumentOf(framed, at)
    if (framed[at] !== op.FRAME) parts.push(framed.subarray(at, next))
    at = next
    if (framed[at - 1] === op.STOP && parts.at(-1)!.length === 1) break
  }
  const data = Buffer.concat(parts)
  const places = new Set<number>()
  /** Where each value on the stack is complete; marks are -1. */
  const stack: number[] = []
  let next = 0
  for (let at = 0; at < data.length; at = next) {
    next = at + 1 + argumentOf(data, at)
    const code = String.fromCharCode(data[at]!)
    if (code === '.') places.add(stack.pop()!)
    else if (code === '(') stack.push(-1)
    else if (['q', 'r', '\x94'].includes(code)) stack[stack.length - 1] = next
    else if (code === '\x80') continue
    else if (TAKES[code] === undefined) stack.push(next)
    else {
      const wanted = TAKES[code]
      const start = wanted === 'mark' ? stack.lastIndexOf(-1) : stack.length - wanted!
      const taken = stack.splice(start)
      for (const end of taken.slice(FILLS.has(code) && wanted !== 'mark' ? 1 : 0)) {
        if (end > 0) places.add(end)
      }
      if (FILLS.has(code) && wanted === 'mark') stack[stack.length - 1] = next
      else if (code !== '0') stack.push(next)
    }
  }
  return { data, places: [...places] }
}

/** The pickle with each of its values replaced by each substitute, one at a time. */
export function* spliced(framed: Buffer): Generator<[string, Buffer]> {
  const { data, places } = placesOf(framed)
  for (const place of places) {
    for (const { name, pickle } of SUBSTITUTES) {
      const parts = [data.subarray(0, place), Buffer.of(op.POP), pickle, data.subarray(place)]
      yield [`${name} before byte ${place}`, Buffer.concat(parts)]
    }
  }
}

/** The records of an archive that are stored and have sizes in the directory. */
export function recordsOf(archive: Buffer): { name: string; data: Buffer }[] {
  const records: { name: string; data: Buffer }[] = []
  const end = archive.lastIndexOf('PK\x05\x06', undefined, 'latin1')
  const last = archive.readUInt16LE(end + 10)
  let at = archive.readUInt32LE(end + 16)
  for (let i = 0; i < last; ++i) {
    const [size, nameLength] = [archive.readUInt32LE(at + 20), archive.readUInt16LE(at + 28)]
    const [extra, comment] = [archive.readUInt16LE(at + 30), archive.readUInt16LE(at + 32)]
    const local = archive.readUInt32LE(at + 42)
    const name = archive.toString('utf8', at + 46, at + 46 + nameLength)
    const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28)
    records.push({ name, data: archive.subarray(start, start + size) })
    at += 46 + nameLength + extra + comment
  }
  return records
}

/** The archive with another payload in the record whose name ends like this. */
export function withRecord(archive: Buffer, ending: string, data: Buffer): Buffer {
  const entries = recordsOf(archive)
  const found = entries.find(({ name }) => name.endsWith(ending))
  if (found === undefined) throw new Error(`there is no record ${ending}`)
  found.data = data
  return zip(entries)
}

const VALUES: readonly (readonly [string, string])[] = [
  ['null', 'null'],
  ['a text', '"__proto__"'],
  ['-1', '-1'],
  ['0', '0'],
  ['0.5', '0.5'],
  ['2^53', '9007199254740992'],
  ['2^64 - 1', '18446744073709551615'],
  ['1e400', '1e400'],
  ['true', 'true'],
  ['[]', '[]'],
  ['{}', '{}'],
  ['[[]]', '[[]]'],
]

/** The JSON text with each of its values replaced by each of some others, or left out. */
export function* altered(json: string): Generator<[string, string]> {
  const value: unknown = JSON.parse(json)
  for (const path of pathsOf(value)) {
    for (const [name, text] of VALUES) {
      const marked = JSON.stringify(replaced(value, path, '\0'))
      yield [`${name} at ${path.join('.')}`, marked.replace('"\\u0000"', () => text)]
    }
    yield [`nothing at ${path.join('.')}`, JSON.stringify(replaced(value, path, undefined)) ?? '']
  }
}

function pathsOf(value: unknown, path: readonly string[] = []): string[][] {
  const inner = typeof value === 'object' && value !== null ? Object.entries(value) : []
  return [[...path], ...inner.flatMap(([key, item]) => pathsOf(item, [...path, key]))]
}

function replaced(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by
  const inner = replaced((value as Record<string, unknown>)[key], rest, by)
  if (!Array.isArray(value)) return { ...(value as object), [key]: inner }
  const items = value.map((item, i) => (String(i) === key ? inner : item))
  return items.filter((item) => item !== undefined)
}
