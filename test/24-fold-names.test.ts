/** Which weights belong to one that is computed, and names without wrappers. */
import { describe, expect, test } from '@jest/globals'
import { type Factor, findFolds } from '../lib/fold'
import { openSync } from '../lib/index'
import { withoutPrefixes, withoutWrappers } from '../lib/prefixes'
import { bytes, checkpointOf, op, pickle, tensor, text } from './support/bytes'
import { golden } from './support/folded'
import { refusal } from './support/samples'

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
