/** `stateDict({ fold, stripPrefixes })`: weights computed from other tensors, and names without wrappers. */
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Factor, findFolds } from '../lib/fold'
import { type Checkpoint, type DType, openSync, type Tensor } from '../lib/index'
import { withoutPrefixes, withoutWrappers } from '../lib/prefixes'
import { bytes, checkpointOf, op, pickle, tensor, text, untyped } from './support/bytes'
import { FIXTURES, type GoldenRow, readManifest } from './support/golden'
import { refusal } from './support/samples'

/** What rows of these goldens say beside their content: see fixtures/generate/reparametrized.py. */
interface FoldedRow extends GoldenRow {
  /** The weights as torch computes them: the bytes in base64. */
  folded: Record<string, { dtype: DType; shape: number[]; data: string }>
  /** The weights that are reported. */
  unfolded: string[]
  /** The names without the levels of wrappers. */
  plain?: string[]
}

const ROWS = ['torch-1.13', 'torch-2.13'].flatMap((set) =>
  (readManifest(set) as FoldedRow[])
    .filter(({ folded }) => folded !== undefined)
    .map((row) => ({ path: join(FIXTURES, set, row.file), set, ...row })),
)

function golden(file: string, set = 'torch-2.13') {
  const row = ROWS.find((candidate) => candidate.file === file && candidate.set === set)!
  return { row, checkpoint: openSync(row.path) }
}

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

describe('what belongs together', () => {
  const shapes = (given: Record<string, number[] | Partial<Factor>>) =>
    findFolds(Object.keys(given), (name) => {
      const factor = given[name]!
      const plain: Factor = { dtype: 'float32', shape: [], isPlain: true }
      return Array.isArray(factor) ? { ...plain, shape: factor } : { ...plain, ...factor }
    })
  const reasons = (given: Record<string, number[] | Partial<Factor>>) =>
    shapes(given).unfolded.map(({ name, reason }) => `${name}: ${reason}`)

  test.each([
    ['the first dimension', [4, 1, 1], [4, 3, 2], 0],
    ['another one', [1, 3, 1], [4, 3, 2], 1],
    ['the last one', [1, 1, 2], [4, 3, 2], 2],
    ['all, as a scalar', [], [4, 3, 2], undefined],
    ['all, as torch 0.3 had it', [1], [4, 3, 2], undefined],
    ['a dimension of 1', [1, 1], [4, 1], 1],
    ['a vector', [4], [4], 0],
  ])('g says what has a norm: %s', (_, g, v, dim) => {
    const { formulas, unfolded } = shapes({ 'a.weight_g': g, 'a.weight_v': v })
    expect(unfolded).toEqual([])
    const formula = { kind: 'weightNorm', g: 'a.weight_g', v: 'a.weight_v', dim }
    expect([...formulas]).toEqual([['a.weight', formula]])
  })

  test.each([
    ['two dimensions', [4, 3, 1], [4, 3, 2]],
    ['another size', [3, 1, 1], [4, 3, 2]],
    ['another rank', [4, 1], [4, 3, 2]],
    ['all with dimensions kept', [1, 1], [4, 3]],
  ])('g that fits no norm: %s', (_, g, v) => {
    const found = reasons({ weight_g: g, weight_v: v })
    expect(found).toEqual([expect.stringMatching(/^weight: the shapes do not fit: 'weight_g' is/)])
  })

  test('vectors called something else are no weight norm', () => {
    expect(shapes({ gate_g: [4], gate_v: [4] }).formulas.size).toBe(0)
    expect(shapes({ gate_g: [4, 1], gate_v: [4, 3] }).formulas.size).toBe(1)
    expect(shapes({ bias_g: [4], bias_v: [4] }).formulas.size).toBe(1)
    expect(shapes({ 'x.weight_ih_l0_g': [4, 1], 'x.weight_ih_l0_v': [4, 3] }).formulas.size).toBe(1)
  })

  test.each([
    ['dimension 0', [4, 3, 2], [4], [6], 0, undefined],
    ['dimension 1', [4, 3, 2], [3], [8], 1, undefined],
    ['either', [4, 4, 2], [4], [8], 0, 1],
    ['a square matrix', [4, 4], [4], [4], 0, undefined],
    ['the last of a 3-dimensional one', [4, 3, 2], [2], [12], 2, undefined],
  ])('u and v say which dimension is in front: %s', (_, weight, u, v, dim, other) => {
    const names = {
      'parametrizations.weight.original': weight,
      'parametrizations.weight.0._u': u,
      'parametrizations.weight.0._v': v,
    }
    expect(shapes(names).formulas.get('weight')).toMatchObject({ kind: 'spectralNorm', dim, other })
    const old = shapes({ weight_orig: weight, weight_u: u, weight_v: v })
    expect(old.formulas.get('weight')).toMatchObject({ dim, other })
  })

  test.each([
    [{ weight_orig: [4, 3], weight_u: [4], weight_v: [4] }, 'the shapes do not fit'],
    [{ weight_orig: [4, 3], weight_u: [4, 1], weight_v: [3] }, 'the shapes do not fit'],
    [{ weight_orig: [0, 3], weight_u: [0], weight_v: [3] }, 'the shapes do not fit'],
    [{ weight_orig: [4, 3], weight_mask: [3, 4] }, 'the shapes do not fit'],
    [{ weight_orig: [4, 3], weight_u: [4] }, 'torch 0.4'],
    [{ weight_orig: [4], weight_u: [4], weight_v: [1], weight_mask: [4] }, 'several'],
    [{ weight_g: [4, 1], weight_v: [4, 3], weight_orig: [4, 3] }, 'several'],
    [{ weight_g: [4, 1], weight_v: [4, 3], weight: [4, 3] }, "another 'weight'"],
    [{ weight_g: [4, 1], weight_v_orig: [4, 3], weight_v_mask: [4, 3] }, 'on top of another'],
    [{ 'parametrizations.weight.original': [4, 3] }, 'no buffers'],
    [{ 'parametrizations.weight.original': [4] }, 'no other weight here'],
    [
      { 'parametrizations.weight.original': [4, 3], 'parametrizations.weight.0.base': [4, 3] },
      'none of',
    ],
    [
      {
        'parametrizations.weight.original0': [4, 1],
        'parametrizations.weight.original1': [4, 3],
        'parametrizations.weight.1.shift': [1],
      },
      'several',
    ],
    [{ weight_g: [4, 1], weight_v: { shape: [4, 3], dtype: 'float16' } }, "'weight_v' is float16"],
    [{ weight_g: [4, 1], weight_v: { shape: [4, 3], isPlain: false } }, 'plain dense'],
    [{ weight_orig: { shape: [4], dtype: 'int8' }, weight_mask: [4] }, "'weight_orig' is int8"],
    [{ weight_orig: [4], weight_mask: { shape: [4], dtype: 'qint8' } }, "'weight_mask' is qint8"],
  ] as [Record<string, number[] | Partial<Factor>>, string][])('not %j', (given, reason) => {
    expect(reasons(given)).toEqual([expect.stringContaining(reason)])
    expect(shapes(given).formulas.size).toBe(0)
  })

  test('two spellings of one weight', () => {
    const found = reasons({
      weight_g: [4, 1],
      weight_v: [4, 3],
      'parametrizations.weight.original0': [4, 1],
      'parametrizations.weight.original1': [4, 3],
    })
    expect(found).toEqual([
      "weight: there is another 'weight'",
      "weight: there is another 'weight'",
    ])
  })

  test('names that are only similar are nobody’s business', () => {
    const given = {
      _g: [],
      _v: [],
      'a._g': [],
      'a._v': [],
      b_g: [],
      c_v: [],
      d_orig: [],
      e_mask: [],
    }
    expect(shapes(given)).toEqual({ formulas: new Map(), unfolded: [] })
    const module = { 'parametrizations.weight.scale': [], 'x.parametrizations.original': [] }
    expect(shapes(module)).toEqual({ formulas: new Map(), unfolded: [] })
  })

  test('many groups are looked at once each', () => {
    const names: string[] = []
    for (let i = 0; i < 20_000; ++i) names.push(`${i}_g`, `${i}_v`)
    let looks = 0
    const { formulas } = findFolds(names, (name) => {
      ++looks
      return { dtype: 'float32', shape: name.endsWith('g') ? [2, 1] : [2, 2], isPlain: true }
    })
    expect(formulas.size).toBe(20_000)
    expect(looks).toBe(40_000)
  })
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

describe('wrapper levels', () => {
  test.each([
    ['module. where all have it', ['module.a', 'module.b.c'], ['a', 'b.c']],
    ['module. repeatedly', ['module.module.a', 'module.module.b'], ['a', 'b']],
    ['module. as often as all have it', ['module.module.a', 'module.b'], ['module.a', 'b']],
    ['module. where some have it: a submodule', ['module.a', 'b'], ['module.a', 'b']],
    ['module. inside', ['a.module.b'], ['a.module.b']],
    ['_orig_mod. anywhere', ['_orig_mod.a', 'b._orig_mod.c', 'd'], ['a', 'b.c', 'd']],
    ['FSDP anywhere', ['a._fsdp_wrapped_module.b._fsdp_wrapped_module.c'], ['a.b.c']],
    ['checkpointing', ['a._checkpoint_wrapped_module.b'], ['a.b']],
    ['_forward_module. at the start', ['_forward_module.a', 'b'], ['a', 'b']],
    ['_forward_module. inside', ['a._forward_module.b'], ['a._forward_module.b']],
    ['in each other', ['_orig_mod._forward_module.module._orig_mod.module.a'], ['a']],
    [
      'similar names',
      ['my_orig_mod.a', 'modules.b', 'a._orig_mod'],
      ['my_orig_mod.a', 'modules.b', 'a._orig_mod'],
    ],
    ['no names', [], []],
    ['nothing but a level', ['module.'], ['']],
  ])('%s', (_, names, plain) => {
    expect(withoutWrappers(names)).toEqual(plain)
  })

  test.each([
    ['where they are', ['model.a', 'b'], ['model.'], ['a', 'b']],
    ['without the dot', ['model.a', 'models.b'], ['model'], ['a', 'models.b']],
    ['in their order', ['model.net.a', 'net.model.b'], ['model', 'net'], ['a', 'model.b']],
    ['of several levels', ['a.b.c', 'a.c'], ['a.b'], ['c', 'a.c']],
    ['once each', ['a.a.b'], ['a'], ['a.b']],
  ])('of the caller: %s', (_, names, prefixes, plain) => {
    expect(withoutPrefixes(names, prefixes)).toEqual(plain)
  })

  test('names that become equal: the later ones are numbered', () => {
    const names = ['a._orig_mod.b', 'a.b', '_orig_mod.a.b', 'a.b#2']
    const items = names.map((name) => bytes(text(name), tensor(), op.SETITEM))
    const checkpoint = openSync(checkpointOf(pickle(bytes(op.EMPTY_DICT, ...items))))
    const map = checkpoint.stateDict({ stripPrefixes: true })
    expect([...map.keys()]).toEqual(['a.b', 'a.b#3', 'a.b#4', 'a.b#2'])
    expect([...map.values()].map(({ name }) => name)).toEqual([...map.keys()])
  })

  test('in front of one prefix only', () => {
    const { checkpoint } = golden('prefixes-nested.pt')
    const own = checkpoint.stateDict({ stripPrefixes: ['_forward_module.module._orig_mod'] })
    expect([...own.keys()].slice(-3)).toEqual([
      'layers.1._orig_mod.weight_v',
      'module.weight',
      'module.bias',
    ])
  })

  test('come off before weights are folded', () => {
    const { checkpoint } = golden('prefixes-nested.pt')
    const folded = checkpoint.stateDict({ stripPrefixes: true, fold: true })
    expect([...folded.keys()]).toEqual([
      'layers.0.bias',
      'layers.0.weight',
      'layers.1.bias',
      'layers.1.weight',
      'module.weight',
      'module.bias',
    ])
    expect(folded.get('layers.0.weight')!.name).toBe('layers.0.weight')
    expect([...checkpoint.stateDict({ fold: true }).keys()][1]).toBe(
      '_forward_module.module._orig_mod.layers.0._checkpoint_wrapped_module._fsdp_wrapped_module.weight',
    )
  })

  test('of a branch', () => {
    const items = [
      bytes(text('module.weight_g'), tensor({ sizes: [2, 1], strides: [1, 1] }), op.SETITEM),
      bytes(text('module.weight_v'), tensor({ sizes: [2, 2], strides: [2, 1] }), op.SETITEM),
    ]
    const inner = bytes(op.EMPTY_DICT, ...items)
    const other = bytes(text('other'), tensor(), op.SETITEM)
    const root = bytes(op.EMPTY_DICT, text('net'), inner, op.SETITEM, other)
    const storage = Buffer.from(Float32Array.of(3, 4, 0, -5).buffer)
    const checkpoint = openSync(checkpointOf(pickle(root), storage))
    const map = checkpoint.stateDict({ from: 'net', stripPrefixes: true, fold: true })
    expect([...map.keys()]).toEqual(['weight'])
    const [a, b, c, d] = map.get('weight')!.data as Float32Array
    expect([a, b, c, d]).toEqual([
      Math.fround(3 * Math.fround(0.6)),
      Math.fround(4 * Math.fround(0.6)),
      0,
      -4,
    ])
    expect(refusal(() => checkpoint.stateDict({ from: 'none', fold: true })).code).toBe(
      'NO_SUCH_TENSOR',
    )
  })

  test('elements are those of the tensor with the long name', () => {
    const { checkpoint } = golden('prefixes-ddp.pt')
    const short = checkpoint.stateDict({ stripPrefixes: true }).get('head.weight')!
    const long = checkpoint.stateDict().get('module.head.weight')!
    expect(short.name).toBe('head.weight')
    expect(long.name).toBe('module.head.weight')
    expect(short.data).toBe(long.data)
    expect(short.isZeroCopy).toBe(true)
  })
})
