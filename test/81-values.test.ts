/** Values of tensors, looked at natively, against a plain loop; and what about them is worth a finding. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, open, openSync, type Tensor } from '../lib/index'
import { digestOf, digestOfAll, digestOfFile } from '../lib/zoo/digest'
import type { ValueStatistics } from '../lib/zoo/result'
import { statisticsOf, valueFindings } from '../lib/zoo/values'
import { checkpointOf, pickle, untyped } from './support/bytes'
import { writeCheckpoint } from './support/checkpoint-writer'
import { inProcess } from './support/child'
import { decode, FORMS } from './support/floats'
import { FIXTURES, sha256 } from './support/golden'
import { rejection, temporaryFolder, tensorOf } from './support/samples'

const folder = temporaryFolder('values')
const golden = (name: string) => join(FIXTURES, name)

type Elements = { buffer: ArrayBufferLike; byteLength: number; length: number }

function checkpointOver(elements: Elements, dtype: string, shape = [elements.length]): Buffer {
  const storage = new Uint8Array(elements.buffer)
  return checkpointOf(pickle(untyped(dtype, storage.length, shape)), storage)
}

/** By a plain loop; the mean to twice the digits. */
function wantedOf(numbers: readonly number[], bins = 0): ValueStatistics {
  let [nan, infinite, zero, finite] = [0, 0, 0, 0]
  let [min, max] = [Infinity, -Infinity]
  for (const number of numbers) {
    if (Number.isNaN(number)) ++nan
    else if (!Number.isFinite(number)) ++infinite
    else {
      ++finite
      if (number === 0) ++zero
      if (number < min) min = number
      if (number > max) max = number
    }
  }
  const counts = { nan, infinite, zero }
  if (finite === 0) return { ...counts, histogram: [] }
  const histogram = new Array<number>(bins).fill(0)
  let sum = 0
  let rest = 0
  for (const number of numbers.filter(Number.isFinite)) {
    const next = sum + number
    rest += Math.abs(sum) >= Math.abs(number) ? sum - next + number : number - next + sum
    sum = next
    const step = max > min ? Math.floor((number - min) * (bins / (max - min))) : 0
    if (bins > 0) ++histogram[Math.min(step, bins - 1)]!
  }
  return { min, max, mean: (sum + rest) / finite, ...counts, histogram }
}

function expectStatistics(found: ValueStatistics, wanted: ValueStatistics): void {
  const { mean, ...rest } = found
  const { mean: other, ...others } = wanted
  expect({ ...rest, hasMean: mean !== undefined }).toEqual({
    ...others,
    hasMean: other !== undefined,
  })
  if (mean === undefined) return
  const size = Math.max(Math.abs(wanted.min!), Math.abs(wanted.max!))
  expect(Math.abs(mean - other!)).toBeLessThanOrEqual(size * 2 ** -51)
}

/** The numbers of a dense tensor, by the long way round. */
function numbersOf({ dtype, data }: Tensor): number[] {
  const form = FORMS[dtype] ?? (dtype === 'complex32' ? FORMS.float16 : undefined)
  const all = Array.from(data as Iterable<number | bigint>, Number)
  if (form !== undefined) return all.map((pattern) => decode(pattern, form))
  if (dtype === 'float8_e8m0fnu') return all.map((i) => (i === 255 ? Number.NaN : 2 ** (i - 127)))
  return dtype === 'bool' ? all.map((byte) => Number(byte !== 0)) : all
}

/** Numbers that are the same in every run. */
function noise(count: number): Uint32Array {
  let state = 1
  return Uint32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state
  })
}

describe('statisticsOf()', () => {
  test.each(['float16', 'bfloat16'])('all patterns of %s', async (dtype) => {
    const patterns = Uint16Array.from({ length: 65_536 }, (_, i) => i)
    using checkpoint = openSync(checkpointOver(patterns, dtype))
    const wanted = wantedOf(
      Array.from(patterns, (pattern) => decode(pattern, FORMS[dtype]!)),
      10,
    )
    expectStatistics(await statisticsOf(tensorOf(checkpoint, ''), { bins: 10 }), wanted)
  })

  test.each([
    ['float64', 8],
    ['float32', 4],
    ['int64', 8],
    ['uint64', 8],
    ['int32', 4],
    ['uint32', 4],
    ['int16', 2],
    ['uint16', 2],
    ['int8', 1],
    ['uint8', 1],
    ['bool', 1],
    ['complex32', 4],
    ['float8_e5m2', 1],
    ['float8_e4m3fn', 1],
    ['float8_e5m2fnuz', 1],
    ['float8_e4m3fnuz', 1],
    ['float8_e8m0fnu', 1],
  ])('%s from bytes, a mapped file and one that is read', async (dtype, itemsize) => {
    const random = noise(40_000)
    // Doubles and floats of any size, none of them the mean of all.
    if (dtype === 'float64') for (let i = 1; i < random.length; i += 2) random[i]! &= 0xbfffffff
    if (dtype === 'float32') for (let i = 0; i < random.length; ++i) random[i]! &= 0xbfffffff
    if (dtype.endsWith('int64')) for (let i = 1; i < random.length; i += 2) random[i]! &= 0xfffff
    const bytes = checkpointOver(random, dtype, [random.byteLength / itemsize])
    const path = join(folder, `${dtype}.pth`)
    writeFileSync(path, bytes)
    const opened = [openSync(bytes), openSync(path), openSync(path, { io: 'pread' })]
    const wanted = wantedOf(numbersOf(tensorOf(opened[0]!, '')), 32)
    for (const checkpoint of opened) {
      const found = await statisticsOf(tensorOf(checkpoint, ''), { bins: 32 })
      // Doubles have no digits for the place of these between others.
      const isRough = dtype === 'float64' || dtype.endsWith('64')
      if (isRough) expect(found.histogram.reduce((a, b) => a + b)).toBe(20_000 - found.nan)
      expectStatistics(
        isRough ? { ...found, histogram: [] } : found,
        isRough ? { ...wanted, histogram: [] } : wanted,
      )
      checkpoint.close()
    }
  })

  test('64-bit integers are the same only where all are', async () => {
    const ofLongs = async (...values: bigint[]) => {
      using checkpoint = openSync(checkpointOver(BigInt64Array.from(values), 'int64'))
      const { min, max } = await statisticsOf(tensorOf(checkpoint, ''))
      return [min, max]
    }
    expect(await ofLongs(2n ** 53n + 1n, 2n ** 53n)).toEqual([2 ** 53, 2 ** 53 + 2])
    expect(await ofLongs(2n ** 53n + 1n, 2n ** 53n + 1n)).toEqual([2 ** 53, 2 ** 53])
    expect(await ofLongs(-(2n ** 63n), 2n ** 63n - 1n)).toEqual([-(2 ** 63), 2 ** 63])
  })

  test.each([
    'torch-2.13/strides.pt',
    'torch-2.13/conjugate.pt',
    'torch-2.13/float-special.pt',
    'torch-2.13/dtypes-complex.pt',
    'torch-2.13/state-dict-legacy.pt',
    'crafted/big-endian.pt',
    'crafted/deflated-descriptors.pt',
    'dcp/uneven',
    'deepspeed/zero3',
    'split/hub-bin',
  ])('%s: every tensor, wherever it lies', async (name) => {
    using checkpoint = await open(golden(name))
    let compared = 0
    for (const tensor of checkpoint.tensors.values()) {
      if (tensor.layout !== 'strided' || tensor.isMeta || tensor.dtype === 'bcomplex32') continue
      const found = await statisticsOf(tensor, { bins: 5 })
      expectStatistics(found, wantedOf(numbersOf(tensor), 5))
      ++compared
    }
    expect(compared).toBeGreaterThan(0)
  })

  test('quantised ones stand for numbers, sparse and nested ones for the values they have', async () => {
    for (const name of ['quantised-tensor', 'quantised-channel']) {
      using checkpoint = openSync(golden(`torch-2.13/${name}.pt`))
      for (const tensor of checkpoint.tensors.values()) {
        if (tensor.qscheme === undefined) continue
        expectStatistics(await statisticsOf(tensor), wantedOf([...tensor.dequantize()]))
      }
    }
    for (const name of ['sparse-csr', 'nested-jagged', 'nested-strided-legacy']) {
      using checkpoint = openSync(golden(`torch-2.13/${name}.pt`))
      const [tensor] = checkpoint.tensors.values()
      expectStatistics(await statisticsOf(tensor!), wantedOf(numbersOf(tensor!.values!)))
    }
  })

  test('what has no numbers is refused, with a reason', async () => {
    using meta = openSync(golden('torch-2.13/meta.pt'))
    expect(await rejection(statisticsOf(tensorOf(meta, 'meta')))).toMatchObject({
      code: 'UNSUPPORTED_LAYOUT',
    })
    using bits = openSync(checkpointOver(new Uint8Array(4), 'bits8'))
    expect(await rejection(statisticsOf(tensorOf(bits, '')))).toMatchObject({
      code: 'UNSUPPORTED_DTYPE',
      message: expect.stringContaining('bits8, whose elements are no numbers'),
    })
  })

  const count = 1_500_000
  const large = join(folder, 'large.pth')
  const floats = Float32Array.from(noise(count), (word) => word / 2 ** 32 - 0.25)
  writeCheckpoint(
    large,
    [{ name: 'x', type: 'Float', key: '0', numel: count, shape: [count] }],
    [{ key: '0', size: 4 * count, parts: [{ offset: 0, bytes: new Uint8Array(floats.buffer) }] }],
  )

  test('many elements, by several threads, on another than this', async () => {
    using checkpoint = openSync(large)
    let turns = 0
    const timer = setInterval(() => ++turns, 0)
    const found = await statisticsOf(tensorOf(checkpoint, 'x'), { bins: 100 })
    clearInterval(timer)
    expect(turns).toBeGreaterThan(0)
    expectStatistics(found, wantedOf([...floats], 100))
    // The same bits, however the threads shared the work.
    expect(await statisticsOf(tensorOf(checkpoint, 'x'), { bins: 100 })).toEqual(found)
  })

  test('what counts is the file, of which nothing stays in memory', async () => {
    using checkpoint = openSync(large)
    const tensor = tensorOf(checkpoint, 'x')
    const { data } = tensor
    data[7] = Number.NaN
    expect((await statisticsOf(tensor)).nan).toBe(0)
    if (process.platform !== 'linux') return
    const { how, result } = inProcess(
      async ({ openSync }, path, values) => {
        const { statisticsOf: look } = require(values) as typeof import('../lib/zoo/values')
        const resident = () =>
          Number(
            /RssFile:\s+(\d+)/.exec(
              require('node:fs').readFileSync('/proc/self/status', 'utf8'),
            )![1],
          )
        const opened = openSync(path)
        const before = resident()
        await look(opened.tensors.get('x')!, { bins: 10 })
        return resident() - before
      },
      [large, join(__dirname, '../lib/zoo/values')],
    )
    expect(how).toBe(0)
    // KiB, of 6 MB.
    expect(result).toBeLessThan(2048)
  })

  test('stops when it is told to, when the checkpoint is closed, and when the file is cut', async () => {
    const path = join(folder, 'cut.pth')
    writeFileSync(path, readFileSync(large))
    const checkpoint = openSync(path)
    const tensor = tensorOf(checkpoint, 'x')
    const stopped = new AbortController()
    const work = rejection(statisticsOf(tensor, { signal: stopped.signal }))
    stopped.abort(new Error('enough'))
    expect((await work).message).toBe('enough')
    expect((await rejection(statisticsOf(tensor, { signal: stopped.signal }))).message).toBe(
      'enough',
    )
    truncateSync(path, 5_000_000)
    expect(await rejection(statisticsOf(tensor))).toMatchObject({ code: 'FILE_CHANGED' })
    const again = openSync(large)
    const closing = rejection(statisticsOf(tensorOf(again, 'x')))
    again.close()
    expect(await closing).toMatchObject({ code: 'CLOSED' })
    checkpoint.close()
    expect(await rejection(statisticsOf(tensor))).toMatchObject({ code: 'CLOSED' })
  })

  test('wrong options', async () => {
    using checkpoint = openSync(large)
    const tensor = tensorOf(checkpoint, 'x')
    for (const options of [
      { bins: -1 },
      { bins: 1.5 },
      { bins: 2 ** 17 },
      { signal: 1 },
      { bin: 1 },
    ]) {
      expect(await rejection(statisticsOf(tensor, options as object))).toMatchObject({
        code: expect.stringMatching(/^ERR_INVALID_ARG/),
      })
    }
  })
})

describe('valueFindings()', () => {
  const rulesOf = (
    numbers: number[],
    shape: number[],
    dtype = 'float32' as const,
    isTraining = false,
  ) =>
    valueFindings('w', { dtype, shape }, wantedOf(numbers), isTraining).map(
      ({ rule, message }) => `${rule}: ${message}`,
    )

  test('numbers that are none', () => {
    expect(rulesOf([1, Number.NaN], [2])).toEqual([
      'whole/not-a-number: 1 of 2 elements is not a number.',
    ])
    expect(rulesOf([Number.NaN, Infinity, -Infinity], [3], 'float32', true)).toEqual([
      'whole/not-a-number: 1 of 3 elements is not a number.',
      'whole/infinite: 2 of 3 elements are infinite.',
    ])
    const [found] = valueFindings('a.b', { dtype: 'float32', shape: [1] }, wantedOf([Number.NaN]))
    expect(found).toMatchObject({ tensor: 'a.b', severity: 'error' })
  })

  test('tensors of several dimensions that are all the same', () => {
    expect(rulesOf([0, 0, -0, 0], [2, 2])).toEqual([
      'whole/zero: All 4 elements of float32 [2, 2] are zero.',
    ])
    expect(rulesOf([2, 2, 2, 2], [2, 2])).toEqual([
      'whole/constant: All 4 elements of float32 [2, 2] are 2.',
    ])
    expect(rulesOf([2, 2, 2, 1], [2, 2])).toEqual([])
  })

  test('not what layers are made with, counters, masks and what only training needs', () => {
    expect(rulesOf([0, 0, 0], [3])).toEqual([])
    expect(rulesOf([1, 1, 1], [1, 3, 1])).toEqual([])
    expect(rulesOf([5, 5, 5], [3])).toEqual([
      'whole/constant: All 3 elements of float32 [3] are 5.',
    ])
    expect(rulesOf([0], [])).toEqual([])
    expect(rulesOf([7], [1, 1])).toEqual([])
    expect(rulesOf([0, 0, 0, 0], [2, 2], 'int64' as 'float32')).toEqual([])
    expect(rulesOf([0, 0, 0, 0], [2, 2], 'float32', true)).toEqual([])
    expect(rulesOf([], [0, 2])).toEqual([])
  })
})

describe('digestOf()', () => {
  test('is of the bytes that are documented', async () => {
    using checkpoint = openSync(golden('torch-2.13/strides.pt'))
    for (const tensor of checkpoint.tensors.values()) {
      const head = `torchmap tensor 1\n${tensor.dtype}\n${tensor.shape.join(',')}\n`
      const wanted = sha256(Buffer.concat([Buffer.from(head), tensor.bytes()]))
      expect(await digestOf(tensor)).toBe(wanted)
    }
  })

  const digestsOf = async (checkpoint: Checkpoint): Promise<Map<string, string>> => {
    const found = new Map<string, string>()
    for (const [name, tensor] of checkpoint.tensors) found.set(name, await digestOf(tensor))
    return found
  }

  test.each([
    ['torch-2.13/dtypes-float.pt', 'torch-2.13/dtypes-float-legacy.pt'],
    ['torch-2.13/dtypes-complex.pt', 'torch-2.13/dtypes-complex-legacy.pt'],
    ['torch-2.13/strides.pt', 'torch-2.13/strides-legacy.pt'],
    ['torch-2.13/state-dict.pt', 'torch-2.13/state-dict-legacy.pt'],
  ])('%s and %s are the same', async (one, other) => {
    using a = openSync(golden(one))
    using b = openSync(golden(other))
    const [left, right] = [await digestsOf(a), await digestsOf(b)]
    expect(left.size).toBeGreaterThan(1)
    expect(left).toEqual(right)
    expect(digestOfAll(left)).toBe(digestOfAll([...right].reverse()))
  })

  test('every kind of tensor has one of its own', async () => {
    for (const name of [
      'quantised-tensor',
      'quantised-channel',
      'sparse-csr',
      'nested-jagged',
      'meta',
      'dtensor',
    ]) {
      using checkpoint = openSync(golden(`torch-2.13/${name}.pt`))
      for (const digest of (await digestsOf(checkpoint)).values()) {
        expect(digest).toMatch(/^[0-9a-f]{64}$/)
      }
    }
    const same = async (dtype: string, shape: number[]) => {
      using checkpoint = openSync(checkpointOver(new Uint8Array(8), dtype, shape))
      return await digestOf(tensorOf(checkpoint, ''))
    }
    const all = [
      await same('int32', [2]),
      await same('float32', [2]),
      await same('int32', [1, 2]),
      await same('int32', [2, 1]),
    ]
    expect(new Set(all).size).toBe(4)
  })

  test('several pieces, mapped, read and from bytes; one byte changes it', async () => {
    const bytes = new Uint8Array(9_000_001)
    for (let i = 0; i < bytes.length; ++i) bytes[i] = (i * 7) >> 3
    const file = checkpointOver(bytes, 'uint8')
    const path = join(folder, 'pieces.pth')
    writeFileSync(path, file)
    const head = Buffer.from('torchmap tensor 1\nuint8\n9000001\n')
    const wanted = sha256(Buffer.concat([head, bytes]))
    for (const checkpoint of [openSync(path), openSync(path, { io: 'pread' }), openSync(file)]) {
      expect(await digestOf(tensorOf(checkpoint, ''))).toBe(wanted)
      checkpoint.close()
    }
    const checkpoint = openSync(path)
    const stopped = AbortSignal.abort(new Error('enough'))
    expect((await rejection(digestOf(tensorOf(checkpoint, ''), { signal: stopped }))).message).toBe(
      'enough',
    )
    truncateSync(path, 1000)
    expect(await rejection(digestOf(tensorOf(checkpoint, '')))).toMatchObject({
      code: 'FILE_CHANGED',
    })
    checkpoint.close()
    bytes[8_500_000]! ^= 1
    using other = openSync(checkpointOver(bytes, 'uint8'))
    expect(await digestOf(tensorOf(other, ''))).not.toBe(wanted)
  })

  test('of files', async () => {
    const path = join(folder, 'bytes')
    for (const size of [0, 5, 2 ** 22, 2 ** 22 + 1]) {
      writeFileSync(path, Buffer.alloc(size, 9))
      expect(await digestOfFile(path)).toBe(sha256(Buffer.alloc(size, 9)))
    }
    expect(await rejection(digestOfFile(join(folder, 'none')))).toMatchObject({ code: 'ENOENT' })
  })
})
