/**
 * Handles with numbers, texts and fields changed by hand: each opens or is refused in the words of this package or as
 * a wrong argument. In a child process, because the ways to fail are signals, not exceptions.
 */
import { join } from 'node:path'
import { expect, jest, test } from '@jest/globals'
import { openHandle, openSync } from '../lib/index'
import { inProcess } from './support/child'
import { FIXTURES } from './support/golden'
import { thin } from './support/pace'
import { refusal, temporaryFolder, writeSample } from './support/samples'

jest.setTimeout(600_000)

const folder = temporaryFolder('hostile-handles')
const path = writeSample(join(folder, 'sample.pth'))

const FILES = [
  'torch-2.13/views.pt',
  'torch-2.13/dtypes-float.pt',
  'torch-2.13/quantised-channel.pt',
  'torch-2.13/sparse-coo.pt',
  'torch-2.13/nested-jagged.pt',
  'torch-2.13/nested-strided.pt',
  'torch-2.13/dtensor.pt',
  'torch-2.13/views-legacy.pt',
  'torch-2.13/torchscript.pt',
  'safetensors/dtypes.safetensors',
]

/** In the child: what became of the mutations, and what was thrown that is neither this package's nor about arguments. */
function attack(
  { openSync, openHandle, isCheckpointError }: typeof import('../lib/index'),
  file: string,
  support: string,
  thin: number,
) {
  const { walk } = require(support) as typeof import('./support/walk')
  const limits = { copyBytes: 2 ** 22, inflatedBytes: 2 ** 22, names: 2 ** 16 }
  const first = openSync(file, { limits })
  const handle = structuredClone(first.handle()) as unknown as Record<string, unknown>
  const report = { opened: 0, refused: 0, failures: [] as string[] }
  const attempt = (name: string, changed: unknown) => {
    try {
      const checkpoint = openHandle(changed as never)
      try {
        walk(checkpoint)
        ++report.opened
      } finally {
        checkpoint.close()
      }
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException
      const isArgument = code === 'ERR_INVALID_ARG_TYPE' || code === 'ERR_INVALID_ARG_VALUE'
      if (isCheckpointError(error) || isArgument || syscall !== undefined) ++report.refused
      else report.failures.push(`${file}: ${name}: ${(error as Error).stack}`)
    }
  }
  const junk = [undefined, null, true, 0, -1, 2 ** 40, Number.NaN, '', '\0', 'x', [], {}, [1], 9n]
  const others: unknown[] = [...junk, Symbol.iterator, new Uint8Array(3), new Uint8Array(2 ** 16)]
  for (const key of Object.keys(handle)) {
    for (const value of others) attempt(`${key} = ${String(value)}`, { ...handle, [key]: value })
    const inner = handle[key]
    if (typeof inner !== 'object' || inner === null || ArrayBuffer.isView(inner)) continue
    for (const part of Object.keys(inner)) {
      for (const value of others) {
        const copy = structuredClone(inner) as Record<string, unknown>
        copy[part] = value
        attempt(`${key}.${part} = ${String(value)}`, { ...handle, [key]: copy })
      }
    }
  }
  for (const value of others) attempt(`handle = ${String(value)}`, value)
  // Every word of the tables, and random ones together.
  const { length } = handle.tables as Uint8Array
  const words = [0, 1, 2, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff]
  const reals = [0, -1, 0.5, 1, 7, 2 ** 31, 2 ** 53, 2 ** 63, -(2 ** 63), 1e300, Infinity, NaN]
  const change = (name: string, write: (view: DataView) => void) => {
    const tables = (handle.tables as Uint8Array).slice()
    write(new DataView(tables.buffer))
    attempt(name, { ...handle, tables })
  }
  const [a = 0, b = 0, c = 0, d = 0] = handle.counts as number[]
  const middle = 8 * (a + b + c + d)
  let turn = 0
  for (let at = 0; at < middle; at += 8) {
    for (const value of reals) {
      if (turn++ % thin === 0)
        change(`real ${at} = ${value}`, (view) => view.setFloat64(at, value, true))
    }
  }
  for (let at = middle; at < length; at += 4) {
    for (const value of words) {
      if (turn++ % thin === 0)
        change(`word ${at} = ${value}`, (view) => view.setUint32(at, value, true))
    }
    for (const bit of [1, 0x10, 0x100, 0x2_0000, 0x20_0000]) {
      if (turn++ % thin === 0)
        change(`word ${at} ^ ${bit}`, (view) => {
          view.setUint32(at, (view.getUint32(at, true) ^ bit) >>> 0, true)
        })
    }
  }
  let seed = 1
  const random = (most: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
    return seed % most
  }
  for (let round = 0; round < 500 / thin; ++round) {
    change(`round ${round}`, (view) => {
      for (let i = 0; i < 1 + random(4); ++i) {
        view.setUint8(random(length), random(256))
      }
    })
  }
  report.failures.splice(10)
  return report
}

test.each(FILES)('%s', (file) => {
  const args: [string, string, number] = [
    join(FIXTURES, file),
    join(__dirname, 'support/walk'),
    thin,
  ]
  const ending = inProcess(attack, args)
  expect([ending.how, ending.stderr]).toEqual([0, ''])
  expect(ending.result?.failures).toEqual([])
  expect(ending.result?.refused).toBeGreaterThan(100)
  expect(ending.result?.opened).toBeGreaterThan(10)
})

test('handles of parts', () => {
  const checkpoint = openSync(join(FIXTURES, 'split/hub-bin'))
  const handle = structuredClone(checkpoint.handle())
  checkpoint.close()
  const junk = [
    undefined,
    null,
    0,
    -1,
    9,
    0.5,
    'length',
    '\0',
    [],
    {},
    [1],
    [[]],
    [['a', 'length']],
  ]
  const outcomes = new Set<string>()
  const attempt = (changed: unknown) => {
    try {
      const opened = openHandle(changed as never)
      try {
        outcomes.add(`${opened.tensors.size} tensors`)
        for (const tensor of opened.tensors.values()) void tensor.data.length
      } finally {
        opened.close()
      }
    } catch (error) {
      outcomes.add(String((error as { code?: string }).code))
    }
  }
  const places = (value: unknown): [object, string][] =>
    typeof value !== 'object' || value === null || ArrayBuffer.isView(value)
      ? []
      : Object.entries(value).flatMap(([key, inner]) => [[value, key], ...places(inner)])
  for (const [owner, key] of places(handle) as [Record<string, unknown>, string][]) {
    const kept = owner[key]
    for (const value of junk) {
      owner[key] = value
      attempt(handle)
    }
    owner[key] = kept
  }
  attempt(handle)
  expect([...outcomes].filter((outcome) => !/^[A-Z_]+$|tensors$/.test(outcome))).toEqual([])
  expect([...outcomes]).toEqual(
    expect.arrayContaining(['ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_VALUE', 'BAD_INDEX']),
  )
})

/** A handle with some numbers of a table changed. */
function changed(table: number, change: (numbers: Float64Array) => void): unknown {
  const checkpoint = openSync(path)
  const handle = structuredClone(checkpoint.handle())
  checkpoint.close()
  if (handle.kind !== 'file') throw new Error('not a file')
  const tables = handle.tables as Uint8Array
  const at = handle.counts.slice(0, table).reduce((sum, count) => sum + 8 * count, 0)
  change(new Float64Array(tables.buffer, at, handle.counts[table]))
  return handle
}

const refused = (handle: unknown) => refusal(() => openHandle(handle as never))

test('a storage behind the end of the file is BAD_INDEX', () => {
  const { size } = openSync(path)
  const PLACES = 2
  const at = (place: number) => changed(PLACES, (places) => places.fill(place))
  expect(refused(at(size))).toMatchObject({ name: 'FormatError', code: 'BAD_INDEX' })
  expect(refused(at(size - 23)).code).toBe('BAD_INDEX')
  expect(refused(at(-1)).code).toBe('BAD_INDEX')
  openHandle(at(size - 24) as never).close()
})

test('a tensor larger than its storage is BAD_TENSOR', () => {
  const STORAGES = 1
  const handle = changed(STORAGES, (storages) => {
    storages[1]! -= 1
  })
  expect(refused(handle)).toMatchObject({ name: 'FormatError', code: 'BAD_TENSOR' })
})

test('a handle of other rows than the file has is BAD_INDEX once it is decoded', () => {
  const PLACES = 2
  const moved = openHandle(changed(PLACES, (places) => places.fill(0)) as never)
  expect(moved.tensors.get('weight')!.size).toBe(6)
  moved.close()
  const checkpoint = openSync(path)
  const handle = structuredClone(checkpoint.handle())
  if (handle.kind !== 'file') throw new Error('not a file')
  // The words of the last tensor become those of the first.
  const counts = handle.counts
  const at = 8 * counts.slice(0, 4).reduce((sum, count) => sum + count, 0)
  const tables = handle.tables as Uint8Array
  tables.copyWithin(at + 40, at, at + 40)
  const opened = openHandle(handle)
  expect(refusal(() => opened.root).code).toBe('BAD_INDEX')
  expect(opened.tensors.size).toBe(4)
  opened.close()
  checkpoint.close()
})

test('one of another version is UNSUPPORTED_VERSION', () => {
  const handle = openSync(path).handle()
  expect(refused({ ...handle, version: 2 })).toMatchObject({
    name: 'UnsupportedError',
    code: 'UNSUPPORTED_VERSION',
    feature: 'handle',
  })
})
