/** Two checkpoints side by side: the function, and the command over dist. */
import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, open, openSync } from '../lib/index'
import {
  type CheckpointDifference,
  type DiffOptions,
  type DiffProgress,
  diffCheckpoints,
} from '../lib/zoo/diff'
import { nearestOf } from '../lib/zoo/names'
import { type RecordSpec, type TensorSpec, writeCheckpoint } from './support/checkpoint-writer'
import { torchmap } from './support/command'
import { FIXTURES } from './support/golden'
import { rejection, temporaryFolder } from './support/samples'

const folder = temporaryFolder('diff')
const golden = (name: string) => join(FIXTURES, name)

type Data = Float32Array | Float64Array | BigInt64Array | Uint16Array
const TYPES: Record<string, string> = {
  Float32Array: 'Float',
  Float64Array: 'Double',
  BigInt64Array: 'Long',
  Uint16Array: 'BFloat16',
}
const floats = (...values: number[]) => Float32Array.from(values)

/** A state dict of vectors, or of tensors of the shape that is given with them. */
function write(name: string, dict: Record<string, Data | [Data, number[]]>): string {
  const path = join(folder, name)
  const tensors: TensorSpec[] = []
  const records: RecordSpec[] = []
  for (const [key, value] of Object.entries(dict)) {
    const [data, shape] = Array.isArray(value) ? value : [value, [value.length]]
    const type = TYPES[data.constructor.name]!
    tensors.push({ name: key, type, key, numel: data.length, shape })
    const bytes = new Uint8Array(data.buffer)
    records.push({ key, size: bytes.length, parts: [{ offset: 0, bytes }] } as never)
  }
  writeCheckpoint(path, tensors, records as never)
  return path
}

async function diff(a: string, b: string, options?: DiffOptions): Promise<CheckpointDifference> {
  const opened: Checkpoint[] = [await open(a), await open(b)]
  try {
    return await diffCheckpoints(opened[0]!, opened[1]!, options)
  } finally {
    for (const checkpoint of opened) checkpoint.close()
  }
}

const valuesOf = ({ tensors }: CheckpointDifference) =>
  Object.fromEntries(tensors.map(({ name, isSame, values }) => [name, { isSame, ...values }]))

const same = { isSame: true, differing: 0, notFinite: 0, absolute: 0, relative: 0 }

describe('diffCheckpoints()', () => {
  test('values, by how much', async () => {
    const a = write('a.pth', {
      same: floats(1, 2),
      odd: floats(Number.NaN, Infinity, 0),
      near: floats(1, 2, 4),
      nan: floats(1, Number.NaN),
      long: BigInt64Array.of(2n ** 60n, 5n),
    })
    const b = write('b.pth', {
      same: floats(1, 2),
      odd: floats(Number.NaN, Infinity, -0),
      near: floats(1, 2.5, 3),
      nan: floats(1, 1),
      long: BigInt64Array.of(2n ** 60n + 1n, 5n),
    })
    const found = await diff(a, b)
    expect(found.isSame).toBe(false)
    expect(valuesOf(found)).toEqual({
      same,
      odd: same,
      near: { isSame: false, differing: 2, notFinite: 0, absolute: 1, relative: 0.25 },
      nan: { isSame: false, differing: 1, notFinite: 1, absolute: 0, relative: 0 },
      long: { isSame: false, differing: 1, notFinite: 0, absolute: 1, relative: 2 ** -60 },
    })
    const loose = valuesOf(await diff(a, b, { tolerance: 0.5 }))
    expect(loose.near).toEqual({
      isSame: false,
      differing: 1,
      notFinite: 0,
      absolute: 1,
      relative: 0.25,
    })
    expect(valuesOf(await diff(a, b, { tolerance: 1 })).near).toMatchObject({
      isSame: true,
      absolute: 1,
    })
    expect((await diff(a, a)).isSame).toBe(true)
  })

  test('dtypes and shapes', async () => {
    const a = write('shapes-a.pth', {
      w: floats(1, 2),
      s: [floats(1, 2, 3, 4), [2, 2]],
      d: floats(1.5, 0.1),
    })
    const b = write('shapes-b.pth', {
      w: Uint16Array.of(0x3f80, 0x4000),
      s: floats(1, 2, 3, 4),
      d: Float64Array.of(1.5, 0.1),
    })
    const { tensors, isSame } = await diff(a, b)
    expect(isSame).toBe(false)
    expect(tensors[0]).toEqual({
      name: 'w',
      isSame: false,
      dtypes: ['float32', 'bfloat16'],
      shapes: [[2], [2]],
      values: { differing: 0, notFinite: 0, absolute: 0, relative: 0 },
    })
    expect(tensors[1]).toEqual({
      name: 's',
      isSame: false,
      dtypes: ['float32', 'float32'],
      shapes: [[2, 2], [4]],
    })
    const apart = Math.abs(Math.fround(0.1) - 0.1)
    expect(tensors[2]?.values).toEqual({
      differing: 1,
      notFinite: 0,
      absolute: apart,
      relative: apart / Math.fround(0.1),
    })
  })

  test('what only one has, and what it may be called in the other', async () => {
    const a = write('names-a.pth', {
      'layer.0.weight': floats(1, 2, 3),
      'layer.1.weight': floats(4, 5, 6),
      'layer.2.weight': floats(7, 8, 9),
      gone: floats(1),
      both: floats(0),
    })
    const b = write('names-b.pth', {
      'blocks.9.w': floats(4, 5, 6),
      'layer.0.weights': floats(1, 2, 9),
      both: floats(0),
      'something.else.entirely': floats(0, 0, 0),
    })
    const { onlyA, onlyB, tensors } = await diff(a, b)
    expect(tensors.map(({ name }) => name)).toEqual(['both'])
    expect(onlyA.map(({ name, perhaps }) => [name, perhaps])).toEqual([
      ['layer.0.weight', { name: 'layer.0.weights', isSame: false }],
      ['layer.1.weight', { name: 'blocks.9.w', isSame: true }],
      ['layer.2.weight', undefined],
      ['gone', undefined],
    ])
    expect(onlyB.map(({ name, perhaps }) => [name, perhaps?.name])).toEqual([
      ['blocks.9.w', 'layer.1.weight'],
      ['layer.0.weights', 'layer.0.weight'],
      ['something.else.entirely', undefined],
    ])
    expect(nearestOf('module.a.b', ['a.c', 'a.b'])).toBe('a.b')
    expect(nearestOf('abc', ['xyz'])).toBeUndefined()
    expect(nearestOf('abc', [])).toBeUndefined()
  })

  test.each([
    'torch-2.13/strides.pt',
    'torch-2.13/dtypes-complex.pt',
    'torch-2.13/dtypes-float8.pt',
    'torch-2.13/dtypes-rare.pt',
    'torch-2.13/quantised-channel.pt',
    'torch-2.13/sparse-csr.pt',
    'torch-2.13/nested-jagged.pt',
    'torch-2.13/meta.pt',
    'torch-2.13/dtensor.pt',
    'crafted/big-endian.pt',
    'split/hub-bin',
    'dcp/uneven',
    'deepspeed/zero3',
  ])('%s is the same as itself', async (name) => {
    const found = await diff(golden(name), golden(name), { of: 'tensors' })
    expect(found.tensors.length).toBeGreaterThan(0)
    expect(found.tensors.filter(({ isSame }) => !isSame)).toEqual([])
    expect(found.isSame).toBe(true)
  })

  test('the same weights in two containers', async () => {
    for (const name of ['dtypes-float', 'state-dict', 'strides']) {
      const found = await diff(
        golden(`torch-2.13/${name}.pt`),
        golden(`torch-2.13/${name}-legacy.pt`),
      )
      expect([name, found.isSame]).toEqual([name, true])
    }
  })

  test('large tensors, progress, and what stops it', async () => {
    const data = Float32Array.from({ length: 1_000_003 }, (_, i) => Math.sin(i))
    const a = write('large-a.pth', { x: data, y: floats(1) })
    const other = data.slice()
    other[999_999]! += 0.5
    other[3]! += 0.25
    const b = write('large-b.pth', { x: other, y: floats(1) })
    const events: DiffProgress[] = []
    const found = await diff(a, b, { onProgress: (event) => events.push(event) })
    expect(valuesOf(found).x).toMatchObject({ differing: 2, absolute: expect.closeTo(0.5, 6) })
    expect(events.map(({ phase, name }) => [phase, name])).toEqual([
      ['diff', 'x'],
      ['diff', 'y'],
    ])
    expect(events.at(-1)).toMatchObject({ loaded: 8_000_032, total: 8_000_032 })
    const signal = AbortSignal.abort(new Error('enough'))
    expect((await rejection(diff(a, b, { signal }))).message).toBe('enough')
    const left = openSync(a)
    const right = openSync(b)
    truncateSync(b, 5000)
    expect(await rejection(diffCheckpoints(left, right))).toMatchObject({ code: 'FILE_CHANGED' })
    left.close()
    expect(await rejection(diffCheckpoints(left, right))).toMatchObject({ code: 'CLOSED' })
    right.close()
  })

  test('wrong options', async () => {
    const path = golden('torch-2.13/strides.pt')
    for (const options of [
      { of: 'x' },
      { tolerance: -1 },
      { tolerance: Number.NaN },
      { tolerance: '1' },
      { x: 1 },
    ]) {
      expect(await rejection(diff(path, path, options as object))).toMatchObject({
        code: expect.stringMatching(/^ERR_INVALID_ARG/),
      })
    }
  })
})

describe('torchmap diff', () => {
  const a = write('cli-a.pth', {
    same: floats(1),
    'fc.weight': [floats(1, 2, 3, 4), [2, 2]],
    old: floats(1, 2),
    kind: floats(1),
  })
  const b = write('cli-b.pth', {
    same: floats(1),
    'fc.weight': [floats(1, 2, 3, 5), [2, 2]],
    new: floats(1, 2),
    kind: Float64Array.of(1),
  })

  test('says what differs: exit code 1', () => {
    expect(torchmap('diff', a, b)).toEqual({
      code: 1,
      stderr: '',
      stdout: `A  ${a}  zip
B  ${b}  zip

Different
  fc.weight  float32             [2, 2]  1 of 4 differ, by 1 at most, relatively 0.2
  kind       float32 -> float64  [1]     the same values

Only in A
  old  float32  [2]  the same as new of B

Only in B
  new  float32  [2]  the same as old of A

1 the same, 2 different, 1 only in A, 1 only in B
`,
    })
    expect(torchmap('diff', '--all', a, b).stdout).toMatch(
      /\nIn both\n {2}same {7}float32 .* the same values\n/,
    )
    expect(torchmap('diff', '--tolerance', '1', a, b).stdout).not.toContain('fc.weight')
  })

  test('what is the same: exit code 0', () => {
    expect(torchmap('diff', a, a)).toEqual({
      code: 0,
      stderr: '',
      stdout: `A  ${a}  zip\nB  ${a}  zip\n\n4 the same, 0 different, 0 only in A, 0 only in B\n`,
    })
  })

  test('--json is one document; --tensors compares more than the weights', () => {
    const { code, stdout, stderr } = torchmap('diff', '--json', a, b)
    expect([code, stderr]).toEqual([1, ''])
    const document = JSON.parse(stdout) as CheckpointDifference
    expect(document).toMatchObject({ files: [a, b], of: 'stateDict', tolerance: 0, isSame: false })
    expect(document.tensors.map(({ name }) => name)).toEqual(['same', 'fc.weight', 'kind'])
    expect(document.onlyA).toEqual([
      { name: 'old', dtype: 'float32', shape: [2], perhaps: { name: 'new', isSame: true } },
    ])
    const path = golden('frameworks/lightning.ckpt')
    const count = (...args: string[]) =>
      Number(/(\d+) the same/.exec(torchmap('diff', ...args, path, path).stdout)?.[1])
    expect(count('--tensors')).toBeGreaterThan(count())
  })

  test.each<[string[], RegExp]>([
    [['diff', a], /^torchmap: diff needs two files\n/],
    [['diff', a, b, b], /^torchmap: diff takes two files, not 3\n/],
    [['diff', a, '/no such file'], /^torchmap: ENOENT/],
    [['diff', '--tolerance', 'x', a, b], /^torchmap: --tolerance needs a number, not 'x'\n/],
    [['diff', '--tolerance=-1', a, b], /^torchmap: --tolerance needs a number, not '-1'\n/],
    [['inspect', '--tensors', a], /^torchmap: inspect has no option --tensors\n/],
  ])('%p cannot run: exit code 2', (args, message) => {
    const { code, stdout, stderr } = torchmap(...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(message)
  })

  test('a damaged file cannot be compared', () => {
    const path = join(folder, 'damaged.pth')
    writeFileSync(path, 'no checkpoint')
    expect(torchmap('diff', a, path).code).toBe(2)
  })
})
