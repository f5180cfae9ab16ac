/**
 * Pickles and containers for the tests of safety, and what is expected of their scans. Nothing here is
 * ever loaded by Python.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import type { Safety } from '../../lib/zoo/result'
import type { RuleId } from '../../lib/zoo/rules'
import type { SafetyScan } from '../../lib/zoo/safety/report'
import { scanSafetySync } from '../../lib/zoo/safety/scan'
import {
  bytes,
  checkpointOf,
  type EndOptions,
  type Entry,
  global,
  op,
  type Part,
  pickle,
  tensor,
  text,
  u32,
  u64,
  zip,
} from './bytes'

export const STACK_GLOBAL = 0x93
export const MEMOIZE = 0x94
export const POP_MARK = '1'

/** A pickle of protocol 4. */
export const protocol4 = (...parts: Part[]) => bytes(op.PROTO, 4, ...parts, op.STOP)
export const system = global('os', 'system')
export const echo = bytes(op.MARK, text('echo'), op.TUPLE)
export const called = bytes(system, echo, op.REDUCE)
/** A dict with nothing to be afraid of. */
export const benign = bytes(op.EMPTY_DICT, text('a'), op.NONE, op.SETITEM)
export const binbytes = (data: Uint8Array) => bytes(0x42, u32(data.length), data)
export const binstring = (data: Uint8Array) => bytes(op.BINSTRING, u32(data.length), data)
export const call = (callee: Part, ...args: Part[]) =>
  bytes(callee, op.MARK, ...args, op.TUPLE, op.REDUCE)

/** A pickle that calls something, one of a tensor, and the records of an archive with that. */
export const evil = pickle(called)
export const good = pickle(tensor())
export const base: readonly Entry[] = [
  { name: 'a/data.pkl', data: good },
  { name: 'a/data/0', data: Buffer.alloc(16, 1) },
]
/** That archive with more in it. */
export const archive = (entries: readonly Entry[] = [], end?: EndOptions) =>
  zip([...base, ...entries], end)

/** What a legacy stream begins with: magic number, version, system info. */
export const LEGACY_START = bytes(
  bytes(op.PROTO, 2, 0x8a, 10, Buffer.from('6cfc9c46f9206aa85019', 'hex'), op.STOP),
  bytes(op.PROTO, 2, 'M', 0xe9, 0x03, op.STOP),
  bytes(op.PROTO, 2, op.EMPTY_DICT, op.STOP),
)
/** A legacy stream: the object, the keys of its storages, the storages. */
export function legacy(root: Part, keys: Part = op.EMPTY_LIST, ...behind: Part[]): Buffer {
  const pickles = [root, keys].map((part) => bytes(op.PROTO, 2, part, op.STOP))
  return bytes(LEGACY_START, ...pickles, ...behind)
}
/** Storage 0 of four floats, and the list of just its key. */
export const elements = bytes(u64(4n), Buffer.alloc(16, 0x2e))
export const keys = bytes(op.EMPTY_LIST, text('0'), op.APPEND)

/** A member of a tar archive; `size` is what its header has for one, up to 12 bytes. */
export interface Member {
  name: string
  data?: Uint8Array
  type?: string
  size?: Buffer
}

export function tar(members: readonly Member[]): Buffer {
  const blocks = members.map(({ name, data = Buffer.alloc(0), type = '0', size }) => {
    const head = Buffer.alloc(512)
    head.write(name, 0)
    head.write('0000644\0', 100)
    const digits = Buffer.from(`${data.length.toString(8).padStart(11, '0')}\0`)
    head.set(size ?? digits, 124)
    head.write('        ', 148)
    head.write(type, 156)
    head.write('ustar\x0000', 257)
    const sum = head.reduce((a, b) => a + b, 0)
    head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    return bytes(head, data, Buffer.alloc((512 - (data.length % 512)) % 512))
  })
  return bytes(...blocks, Buffer.alloc(1024))
}

/** An array whose type is written just so in its header. */
export function npyOf(type: string, data: Uint8Array): Buffer {
  const shape = `{'descr': ${type}, 'fortran_order': False, 'shape': (1,), }`
  const header = `${shape.padEnd(117)}\n`
  return bytes(Buffer.from('\x93NUMPY\x01\x00', 'latin1'), header.length, 0, header, data)
}
export const npy = (descr: string, data: Uint8Array) => npyOf(`'${descr}'`, data)

export const safetyOf = (data: Uint8Array) => scanSafetySync(data).safety
export const rulesOf = ({ findings }: SafetyScan) =>
  [...new Set(findings.map(({ rule }) => rule))].sort()
/** Milliseconds that nothing here takes on any machine, but what grows without bound. */
const PATIENCE_MS = 30_000

export function soon(data: Uint8Array): SafetyScan {
  const start = performance.now()
  const scan = scanSafetySync(data)
  expect(performance.now() - start).toBeLessThan(PATIENCE_MS)
  return scan
}

export const named = ({ globals }: SafetyScan, verdict: string) =>
  globals.filter((row) => row.verdict === verdict).map(({ name }) => name)

/** Bytes, what is said of them, and by which rules where that matters. */
export interface Case {
  data: Uint8Array
  safety: Safety
  rules?: RuleId[]
}

export const dangerous = (...parts: Part[]): Case => ({
  data: protocol4(...parts),
  safety: 'dangerous',
})

export const inert = (...parts: Part[]): Case => ({
  data: protocol4(...parts),
  safety: 'safe',
  rules: [],
})

function expectCase({ data, safety, rules }: Case): void {
  const scan = scanSafetySync(data)
  expect(scan.safety).toBe(safety)
  if (rules !== undefined) expect(rulesOf(scan)).toEqual([...rules].sort())
}

/** A test for each pickle, alone and in an archive. */
export function checkPickles(cases: Readonly<Record<string, Case>>): void {
  for (const [name, one] of Object.entries(cases)) {
    test(name, () => {
      expectCase(one)
      expect(scanSafetySync(checkpointOf(one.data)).safety).toBe(one.safety)
    })
  }
}

/** A test for each file, as bytes and in the folder. */
export function checkFiles(folder: string, cases: Readonly<Record<string, Case>>): void {
  for (const [name, one] of Object.entries(cases)) {
    test(name, () => {
      expectCase(one)
      const path = join(folder, 'some.pt')
      writeFileSync(path, one.data)
      expect(scanSafetySync(path).safety).toBe(one.safety)
    })
  }
}
