/** `stateDict({ fold, stripPrefixes })`: weights computed from other tensors, and names without wrappers. */
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, type DType, openSync, type Tensor } from '../lib/index'
import { bytes, checkpointOf, op, pickle, tensor, text, untyped } from './support/bytes'
import { golden, ROWS } from './support/folded'
import { FIXTURES } from './support/golden'
import { refusal } from './support/samples'

/** Places in the order of all floats: neighbours differ by 1. */
function places(elements: Uint8Array, dtype: string): bigint[] {
  const { buffer } = new Uint8Array(elements)
  const [signed, top] =
    dtype === 'float64'
      ? [Array.from(new BigInt64Array(buffer)), 0x7fff_ffff_ffff_ffffn]
      : dtype === 'float32'
        ? [Array.from(new Int32Array(buffer), BigInt), 0x7fff_ffffn]
        : [Array.from(new Int16Array(buffer), BigInt), 0x7fffn]
  return signed.map((value) => (value < 0n ? -(value & top) : value))
}

const INFINITIES: Record<string, bigint> = {
  float16: 0x7c00n,
  bfloat16: 0x7f80n,
  float32: 0x7f80_0000n,
  float64: 0x7ff0_0000_0000_0000n,
}

/** Units in the last place between two elements at most; NaN is as far from NaN as anything from itself. */
function distance(found: Tensor, wanted: { dtype: DType; data: string }): number {
  const infinity = INFINITIES[wanted.dtype]!
  const [a, b] = [found.bytes(), Buffer.from(wanted.data, 'base64')].map((elements) =>
    places(elements, wanted.dtype),
  ) as [bigint[], bigint[]]
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  const isNaNPlace = (place: bigint) => place > infinity || place < -infinity
  const distances = a.map((place, i) => {
    const other = b[i]!
    if (isNaNPlace(place) || isNaNPlace(other)) {
      return isNaNPlace(place) && isNaNPlace(other) ? 0 : Number.POSITIVE_INFINITY
    }
    return Number(place > other ? place - other : other - place)
  })
  return Math.max(...distances)
}

/** Units in the last place that torch's own weights may be away. */
function allowed(file: string): number {
  if (file.startsWith('fold-spectral')) return 4
  return file === 'fold-pruned.pt' ? 0 : 1
}

describe.each(ROWS)('$set/$file', ({ path, file, folded, unfolded, plain, tensors }) => {
  const checkpoint = openSync(path)
  const found = checkpoint.stateDict({ fold: true, stripPrefixes: true })

  test('has the weights torch computes', () => {
    for (const [name, wanted] of Object.entries(folded)) {
      const weight = found.get(name)!
      expect([name, weight.dtype, weight.shape]).toEqual([name, wanted.dtype, wanted.shape])
      expect([name, distance(weight, wanted) <= allowed(file)]).toEqual([name, true])
    }
  })

  test('reports what it does not compute, and keeps it', () => {
    expect(found.unfolded.map(({ name }) => name).sort()).toEqual([...unfolded].sort())
    for (const { name, parts, reason } of found.unfolded) {
      expect(reason).not.toBe('')
      expect(parts.length).toBeGreaterThan(0)
      expect(found.has(name)).toBe(false)
      for (const part of parts) expect(found.has(part)).toBe(true)
    }
  })

  test('has nothing else in their place', () => {
    const parts = new Set(found.unfolded.flatMap((entry) => entry.parts))
    const isFactor = /_(?:g|v|u|orig|mask)$|parametrizations\.[^.]+\.(?:original\d*|0\._[uv])$/
    const left = [...found.keys()].filter((name) => isFactor.test(name) && !parts.has(name))
    expect(left.filter((name) => !name.startsWith('both.'))).toEqual([])
  })

  test('names without wrappers', () => {
    const names = [...checkpoint.stateDict({ stripPrefixes: true }).keys()]
    expect(names).toEqual(plain ?? Object.keys(tensors))
  })
})

test('goldens have a norm of 0, which gives NaN', () => {
  for (const { file, folded } of ROWS.filter((row) => row.file.startsWith('fold-weight-norm'))) {
    const elements = new Float32Array(
      new Uint8Array(Buffer.from(folded['conv.weight']!.data, 'base64')).buffer,
    )
    expect([file, elements.some(Number.isNaN), elements.every(Number.isNaN)]).toEqual([
      file,
      true,
      false,
    ])
  }
})

test('goldens have a strided weight', () => {
  const { checkpoint } = golden('fold-weight-norm.pt')
  expect(checkpoint.tensors.get('strided.weight_v')!.isContiguous).toBe(false)
})

describe('a folded map', () => {
  const { checkpoint, row } = golden('fold-weight-norm.pt')
  const map = checkpoint.stateDict({ fold: true })

  test('is the same one for the same options', () => {
    expect(checkpoint.stateDict({ fold: true })).toBe(map)
    expect(checkpoint.stateDict({ fold: {} })).toBe(map)
    expect(checkpoint.stateDict({ fold: true, stripPrefixes: false, from: undefined })).toBe(map)
    expect(checkpoint.stateDict({ fold: { threads: 2 } })).not.toBe(map)
    expect(checkpoint.stateDict({ fold: false })).toBe(checkpoint.stateDict())
    expect(checkpoint.stateDict({ stripPrefixes: [] })).not.toBe(checkpoint.stateDict())
  })

  test('has weights where the first of their parts was', () => {
    const before = [...checkpoint.stateDict().keys()]
    expect(before.slice(0, 4)).toEqual([
      'conv.bias',
      'conv.weight_g',
      'conv.weight_v',
      'conv_in.bias',
    ])
    const names = [...map.keys()]
    expect(names.slice(0, 3)).toEqual(['conv.bias', 'conv.weight', 'conv_in.bias'])
    expect(names.length).toBe(before.length - Object.keys(row.folded).length)
    expect(map.size).toBe(names.length)
    expect([...map].map(([name]) => name)).toEqual(names)
  })

  test('has all other tensors as they are', () => {
    expect(map.get('conv.bias')).toBe(checkpoint.stateDict().get('conv.bias'))
    expect(map.get('plain.weight')!.data).toBe(checkpoint.stateDict().get('plain.weight')!.data)
    expect(map.get('conv.weight_g')).toBeUndefined()
  })

  test('has tensors like any others', () => {
    const weight = map.get('conv.weight')!
    expect(map.get('conv.weight')).toBe(weight)
    expect(weight.name).toBe('conv.weight')
    expect(weight.dtype).toBe('float32')
    expect(weight.shape).toEqual([4, 3, 3, 3])
    expect(weight.stride).toEqual([27, 9, 3, 1])
    expect([weight.isContiguous, weight.isZeroCopy, weight.layout]).toEqual([
      true,
      false,
      'strided',
    ])
    expect(weight.storage?.byteLength).toBe(weight.byteLength)
    expect(weight.data).toBe(weight.data)
    expect(weight.toFloat32()).toBe(weight.data)
    const { buffer, byteOffset, byteLength } = weight.data
    expect(Buffer.compare(weight.bytes(), new Uint8Array(buffer, byteOffset, byteLength))).toBe(0)
    expect(weight.bytes(4, 8)).toEqual(weight.bytes().slice(4, 8))
    expect(map.get('strided.weight')!.isContiguous).toBe(true)
  })
})

test('nothing is computed before it is asked for, and then once', () => {
  const { checkpoint } = golden('fold-weight-norm.pt')
  const map = checkpoint.stateDict({ fold: true })
  const weight = map.get('linear.weight')!
  const v = checkpoint.tensors.get('linear.weight_v')!
  const g = checkpoint.tensors.get('linear.weight_g')!.data as Float32Array
  // Seen by the computation, which therefore comes later.
  g.fill(0)
  expect((weight.data as Float32Array).every((element) => element === 0)).toBe(true)
  g.fill(1)
  expect(weight.data[0]).toBeCloseTo(0)
  expect(v.data[0]).not.toBe(0)
})

test('close() gives computed weights up', () => {
  const { checkpoint } = golden('fold-weight-norm.pt')
  const map = checkpoint.stateDict({ fold: true })
  const [computed, other] = [map.get('conv.weight')!, map.get('linear.weight')!]
  expect(computed.data.length).toBe(108)
  checkpoint.close()
  for (const weight of [computed, other]) expect(refusal(() => weight.data).code).toBe('CLOSED')
  expect(refusal(() => checkpoint.stateDict({ fold: true })).code).toBe('CLOSED')
  expect(other.shape).toEqual([2, 700])
})

test('norms along the last dimension depend on the threads of torch', () => {
  const weights = [1, 2, 7].map((threads) => {
    const { checkpoint } = golden('fold-weight-norm.pt')
    return checkpoint.stateDict({ fold: { threads } })
  })
  const [one, two, seven] = weights.map((map) => map.get('linear_in.weight')!.bytes())
  const last = golden('fold-weight-norm.pt').row.folded['linear_in.weight']!
  expect(distance(weights[0]!.get('linear_in.weight')!, last)).toBe(0)
  expect(two).not.toEqual(one)
  expect(seven).not.toEqual(two)
  expect(weights[1]!.get('conv_in.weight')!.bytes()).toEqual(
    weights[0]!.get('conv_in.weight')!.bytes(),
  )
})

test('a result beyond limits.copyBytes is refused', () => {
  const path = join(FIXTURES, 'torch-2.13', 'fold-weight-norm.pt')
  const checkpoint = openSync(path, { limits: { copyBytes: 432 } })
  const map = checkpoint.stateDict({ fold: true })
  expect(map.get('conv.weight')!.data.length).toBe(108)
  expect(refusal(() => map.get('linear.weight')!.data)).toMatchObject({
    code: 'LIMIT_STORAGE',
    limit: 432,
    actual: 5600,
  })
})

test('torch 1.13 and 2.13 round differently, and each is followed', () => {
  const [old, recent] = (['torch-1.13', 'torch-2.13'] as const).map((set) => {
    const { checkpoint, row } = golden('fold-weight-norm.pt', set)
    const weight = checkpoint.stateDict({ fold: true }).get('linear.weight')!
    return distance(weight, row.folded['linear.weight']!)
  })
  expect([old, recent]).toEqual([0, 0])
})

test.each([
  [{ fold: 1 }, 'options.fold'],
  [{ fold: null }, 'options.fold'],
  [{ fold: { thread: 1 } }, 'threads'],
  [{ fold: { threads: 0 } }, 'options.fold.threads'],
  [{ fold: { threads: 1.5 } }, 'options.fold.threads'],
  [{ fold: { threads: '2' } }, 'options.fold.threads'],
  [{ stripPrefixes: 'module.' }, 'options.stripPrefixes'],
  [{ stripPrefixes: ['a', 1] }, 'options.stripPrefixes'],
  [{ stripPrefixes: [''] }, 'options.stripPrefixes'],
  [{ folded: true }, 'fold'],
])('refuses %j', (options, what) => {
  const { checkpoint } = golden('prefixes-none.pt')
  expect(() => checkpoint.stateDict(options as object)).toThrow(what)
})

describe('masks', () => {
  const dict = (...items: [string, Uint8Array][]) =>
    pickle(
      bytes(op.EMPTY_DICT, ...items.map(([key, value]) => bytes(text(key), value, op.SETITEM))),
    )
  const opened = (mask: Uint8Array): Checkpoint => {
    const storage = Buffer.from(Float32Array.of(1.5, -2, 3, 0).buffer)
    return openSync(checkpointOf(dict(['w_orig', tensor()], ['w_mask', mask]), storage))
  }

  test('of another dtype, over the same bytes', () => {
    // The bytes of 1.5 are 0, 0, 192, 63.
    const folded = opened(untyped('bool', 16, [4])).stateDict({ fold: true })
    expect([...(folded.get('w')!.data as Float32Array)]).toEqual([0, -0, 3, 0])
  })

  test('with strides, over the same elements', () => {
    const folded = opened(tensor({ offset: 1, sizes: [4], strides: [0] })).stateDict({ fold: true })
    expect([...(folded.get('w')!.data as Float32Array)]).toEqual([-3, 4, -6, -0])
  })

  test('of a dtype that is no number are reported', () => {
    const { unfolded } = opened(untyped('complex64', 16, [2])).stateDict({ fold: true })
    expect(unfolded).toEqual([
      { name: 'w', parts: ['w_orig', 'w_mask'], reason: "'w_mask' is complex64" },
    ])
  })
})
