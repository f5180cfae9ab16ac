/** DeepSpeed's ZeRO checkpoints, put together as its own zero_to_fp32.py does. */
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { type Checkpoint, open, openSync, type Tensor } from '../lib/index'
import { Flat, Size, WEIGHTS, writeStates, writeZero } from './support/deepspeed-writer'
import { FIXTURES, sha256 } from './support/golden'

interface Row {
  directory: string
  stage: number
  ranks: number
  tensors: Record<string, { dtype: string; shape: number[]; sha256: string; same: number }>
}

const SET = join(FIXTURES, 'deepspeed')
const { checkpoints } = JSON.parse(readFileSync(join(SET, 'manifest.json'), 'utf8')) as {
  checkpoints: Row[]
}
const folder = mkdtempSync(join(tmpdir(), 'torchmap-deepspeed-'))
afterAll(() => rmSync(folder, { recursive: true }))

let count = 0
const fresh = () => join(folder, `${++count}`)

/** A copy of a committed checkpoint, and the directory of its step. */
function copyOf(name: string): { path: string; step: string } {
  const path = fresh()
  cpSync(join(SET, name), path, { recursive: true })
  const latest = readdirSync(path).find((file) => file.startsWith('latest'))!
  return { path, step: join(path, readFileSync(join(path, latest), 'utf8')) }
}

function compare(checkpoint: Checkpoint, row: Row): void {
  const weights = checkpoint.stateDict()
  expect(checkpoint.format).toBe('deepspeed')
  expect([...weights.keys()]).toEqual(Object.keys(row.tensors))
  const buffers = new Map<number, unknown>()
  for (const [name, wanted] of Object.entries(row.tensors)) {
    const tensor = weights.get(name)!
    const { dtype, shape } = tensor
    const found = { name: tensor.name, dtype, shape, sha256: sha256(tensor.bytes()) }
    expect(found).toEqual({ name, dtype: wanted.dtype, shape: wanted.shape, sha256: wanted.sha256 })
    expect(checkpoint.tensors.get(name)).toBe(tensor)
    if (tensor.size > 0 && buffers.has(wanted.same)) {
      expect(tensor.data).toBe(buffers.get(wanted.same))
    }
    buffers.set(wanted.same, tensor.data)
  }
  expect(checkpoint.skipped).toEqual([])
}

describe.each(checkpoints)('$directory', (row) => {
  const path = join(SET, row.directory)

  test.each([{ mmap: true }, { mmap: false }, { parts: 'lazy' }, { parts: 'open' }] as const)(
    'is read with %o as DeepSpeed reads it',
    (options) => {
      using checkpoint = openSync(path, options)
      compare(checkpoint, row)
    },
  )

  test('is read off the main thread', async () => {
    await using checkpoint = await open(path)
    compare(checkpoint, row)
  })

  test('is read from the directory of the step', () => {
    const [step] = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    using checkpoint = openSync(join(path, step!.name))
    compare(checkpoint, row)
  })

  test('has every file as a part that can be opened by itself', () => {
    using checkpoint = openSync(path)
    const [step] = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    const files = readdirSync(join(path, step!.name)).filter((name) => name.endsWith('.pt'))
    const parts = checkpoint.parts.map((part) => part.path)
    expect(parts).toEqual(expect.arrayContaining(files.map((name) => join(path, step!.name, name))))
    for (const part of parts) openSync(part).close()
    expect(checkpoint.size).toBe(parts.reduce((sum, part) => sum + readFileSync(part).length, 0))
  })
})

describe('where elements lie', () => {
  test('a weight inside the share of one rank is a view of the file, others are copies', () => {
    using checkpoint = openSync(zero())
    const { a, b, tied } = Object.fromEntries(checkpoint.tensors) as Record<string, Tensor>
    expect([...a!.data]).toEqual(WEIGHTS.a)
    expect([...b!.data]).toEqual(WEIGHTS.b)
    expect(a!.isZeroCopy).toBe(true)
    expect(b!.isZeroCopy).toBe(false)
    expect(tied!.data).toBe(a!.data)
    expect(tied!.storage).toBe(a!.storage)
    expect(tied!.name).toBe('tied')
  })

  test('one rank of stage 3 has everything in place', () => {
    using checkpoint = openSync(join(SET, 'zero3-one-rank'))
    const weights = [...checkpoint.stateDict().values()].filter(({ name }) =>
      name.includes('weight'),
    )
    expect(weights.length).toBeGreaterThan(3)
    expect(weights.map(({ isZeroCopy }) => isZeroCopy)).toEqual(weights.map(() => true))
    expect(new Set(weights.map(({ data }) => data.buffer)).size).toBe(1)
  })

  test('stage 3 goes across the groups of a rank', () => {
    const groups = [
      [new Flat([1]), new Flat([2, 5]), new Flat([]), new Flat([6])],
      [new Flat([3]), new Flat([4, 7]), new Flat([]), new Flat([0])],
    ]
    using checkpoint = openSync(zero({ stage: 3, groups }))
    expect([...checkpoint.tensors.get('a')!.data]).toEqual(WEIGHTS.a)
    expect([...checkpoint.tensors.get('b')!.data]).toEqual(WEIGHTS.b)
  })

  test.each([2, 3])('stage %i: scalars, and weights without elements', (stage) => {
    const shapes = [
      new Map([
        ['none', new Size(0, 3)],
        ['scalar', new Size()],
        ['end', new Size(0)],
      ]),
    ]
    const groups =
      stage === 3 ? [[new Flat([7])], [new Flat([0])]] : [[new Flat([7])], [new Flat([])]]
    using checkpoint = openSync(zero({ stage, shapes, groups, model: { shared_params: {} } }))
    const found = [...checkpoint.stateDict().values()].map(({ name, shape, data }) => [
      name,
      shape,
      [...data],
    ])
    expect(found).toEqual([
      ['mean', [2], [9, 8]],
      ['none', [0, 3], []],
      ['scalar', [], [7]],
      ['end', [0], []],
    ])
  })

  test('elements left out behind parameters are left out', () => {
    const groups = [[new Flat([1, 2, 3, 4, -1, -1])], [new Flat([5, 6, 7, -1])]]
    using checkpoint = openSync(zero({ groups, optimizer: { param_alignment_paddings: [[2, 1]] } }))
    expect([...checkpoint.tensors.get('a')!.data]).toEqual(WEIGHTS.a)
    expect([...checkpoint.tensors.get('b')!.data]).toEqual(WEIGHTS.b)
  })

  test('files are opened when they are needed', () => {
    const path = zero({ stage: 3 })
    const isOpen = ({ parts }: Checkpoint) => parts.map((part) => part.isOpen)
    using checked = openSync(path)
    using lazy = openSync(path, { parts: 'lazy' })
    using opened = openSync(path, { parts: 'open' })
    expect(isOpen(checked)).toEqual([true, false, true, true])
    expect(isOpen(opened)).toEqual([true, true, true, true])
    expect(isOpen(lazy)).toEqual([true, false, true, false])
    lazy.tensors.get('mean')
    expect(isOpen(lazy)).toEqual([true, false, true, false])
    lazy.tensors.get('a')
    expect(isOpen(lazy)).toEqual([true, false, true, true])
  })

  test('weights in 16 bits and frozen ones of stage 1 are found by name', () => {
    using checkpoint = openSync(join(SET, 'zero1-bf16'))
    expect(checkpoint.stateDict().has('hidden.weight')).toBe(false)
    expect(checkpoint.tensors.get('hidden.weight')?.dtype).toBe('bfloat16')
    const half = checkpoint.stateDict({ from: 'module' })
    expect(half.get('narrow.weight')?.dtype).toBe('bfloat16')
    expect(checkpoint.stateDict().get('narrow.weight')?.dtype).toBe('float32')
    const root = checkpoint.root as Map<string, unknown>
    expect(root.get('note')).toBe('zero1-bf16')
    expect(() => checkpoint.stateDict({ from: 'nothing' })).toThrow(/NO_SUCH_TENSOR/)
  })

  test('the moments of the optimizer are in the parts', () => {
    using checkpoint = openSync(join(SET, 'zero2'))
    const states = checkpoint.parts.filter((part) => part.path.includes('optim_states'))
    expect(states.length).toBe(2)
    for (const { path } of states) {
      using part = openSync(path)
      expect([...part.tensors.keys()].filter((name) => name.endsWith('exp_avg'))).toHaveLength(2)
    }
  })
})

describe('missing and damaged files', () => {
  const RANK1 = 'zero_pp_rank_1_mp_rank_00_optim_states.pt'

  test.each([2, 3])('stage %i: a missing rank is named', async (stage) => {
    const path = fresh()
    const missing = join(writeZero(path, { stage }), RANK1)
    rmSync(missing)
    const error = {
      code: 'MISSING_SHARD',
      path: missing,
      message: expect.stringContaining('rank 1 of 2'),
    }
    expect(() => openSync(path)).toThrow(expect.objectContaining(error))
    await expect(open(path)).rejects.toMatchObject(error)
    await expect(open(path, { parts: 'open' })).rejects.toMatchObject(error)
  })

  test('a missing rank is missing where its elements are needed', () => {
    const path = fresh()
    const missing = join(writeZero(path), RANK1)
    rmSync(missing)
    using checkpoint = openSync(path, { parts: 'lazy' })
    expect([...checkpoint.tensors.keys()]).toEqual(['mean', 'a', 'b', 'tied'])
    expect([...checkpoint.tensors.get('mean')!.data]).toEqual([9, 8])
    const error = expect.objectContaining({ code: 'MISSING_SHARD', path: missing })
    expect(() => checkpoint.tensors.get('b')).toThrow(error)
    expect([...checkpoint.tensors.get('a')!.data]).toEqual(WEIGHTS.a)
    expect(checkpoint.skipped.map(({ name, code }) => [name, code])).toEqual([
      ['b', 'MISSING_SHARD'],
    ])
  })

  test('stage 3 misses the shares of frozen parameters', () => {
    const { path, step } = copyOf('zero3')
    const missing = join(step, 'zero_pp_rank_1_mp_rank_00_model_states.pt')
    rmSync(missing)
    expect(() => openSync(path)).toThrow(
      expect.objectContaining({ code: 'MISSING_SHARD', path: missing }),
    )
    using checkpoint = openSync(path, { parts: 'lazy' })
    expect(checkpoint.tensors.get('narrow.weight')?.data.length).toBe(55)
    expect(() => checkpoint.tensors.get('hidden.weight')).toThrow(/MISSING_SHARD/)
  })

  test.each([
    ['the model states', 'mp_rank_00_model_states.pt', /model states of rank 0 are missing/],
    ['the optimizer states', /optim_states/, /optimizer states are missing/],
  ])('%s are missing', (_, file, message) => {
    const path = fresh()
    const step = writeZero(path)
    for (const name of readdirSync(step)) {
      if (typeof file === 'string' ? name === file : file.test(name)) rmSync(join(step, name))
    }
    expect(() => openSync(path)).toThrow(
      expect.objectContaining({ code: 'MISSING_SHARD', message: expect.stringMatching(message) }),
    )
  })

  test('a universal checkpoint misses a weight', () => {
    const { path, step } = copyOf('universal3')
    rmSync(join(step, 'zero', 'norm.bias', 'fp32.pt'))
    expect(() => openSync(path)).toThrow(
      /'norm.bias' has no 'zero\/norm.bias\/fp32.pt'.*MISSING_SHARD/,
    )
    using checkpoint = openSync(path, { parts: 'lazy' })
    expect(checkpoint.stateDict().has('norm.bias')).toBe(true)
    expect(() => checkpoint.tensors.get('norm.bias')).toThrow(/MISSING_SHARD/)
    expect(checkpoint.tensors.get('norm.weight')?.data.length).toBe(5)
    expect(checkpoint.skipped.map(({ name }) => name)).toEqual(['norm.bias'])
  })

  test('a universal checkpoint without the states of a weight has it in the model states', () => {
    const { path, step } = copyOf('universal2')
    rmSync(join(step, 'zero', 'norm.bias'), { recursive: true })
    using checkpoint = openSync(path)
    using whole = openSync(join(SET, 'universal2'))
    const [found, wanted] = [checkpoint, whole].map(({ tensors }) => tensors.get('norm.bias')!.data)
    expect(found).toEqual(wanted)
  })

  test('a universal checkpoint has too few elements of a weight', () => {
    const { path, step } = copyOf('universal3')
    writeStates(join(step, 'zero', 'norm.bias', 'fp32.pt'), new Flat([1, 2]))
    using checkpoint = openSync(path)
    expect(() => checkpoint.tensors.get('norm.bias')).toThrow(
      /shape \[5\] has 2 elements.*BAD_INDEX/,
    )
    writeStates(join(step, 'zero', 'norm.weight', 'fp32.pt'), { step: 1 })
    expect(() => checkpoint.tensors.get('norm.weight')).toThrow(/no tensor in it.*BAD_INDEX/)
  })

  test('a truncated file is refused, and everything is closed', async () => {
    const path = fresh()
    const file = join(writeZero(path), RANK1)
    truncateSync(file, 300)
    for (const parts of ['check', 'open'] as const) {
      await expect(open(path, { parts })).rejects.toMatchObject({ path: file })
      expect(() => openSync(path, { parts })).toThrow(
        expect.objectContaining({
          path: file,
          code: expect.stringMatching(/TRUNCATED|BAD_|NOT_A/),
        }),
      )
    }
    using checkpoint = openSync(path, { parts: 'lazy' })
    expect(() => checkpoint.tensors.get('b')).toThrow(expect.objectContaining({ path: file }))
  })

  test('a tag that is not there', () => {
    const path = fresh()
    writeZero(path, { tag: 'global_step8' })
    expect(() => openSync(path)).toThrow(
      /'latest' names the directory 'global_step8'.*MISSING_SHARD/,
    )
  })

  test.each(['../outside', '/etc', 'a/../../b', 'C:\\x'])('a tag that leads out: %s', (tag) => {
    const path = fresh()
    writeZero(path, { tag })
    mkdirSync(join(folder, 'outside'), { recursive: true })
    expect(() => openSync(path)).toThrow(/outside the directory.*BAD_INDEX/)
  })

  test('a tag is a line of text', () => {
    const path = fresh()
    writeZero(path, { tag: 'x'.repeat(5000) })
    expect(() => openSync(path)).toThrow(/NOT_A_CHECKPOINT/)
    writeFileSync(join(path, 'latest'), ' global_step7\n')
    openSync(path).close()
  })
})

describe('what does not fit together', () => {
  const huge = 2 ** 40
  const one = [[new Flat([1, 2, 3, 4, 5])], [new Flat([6, 7])]]

  test.each([
    [
      'too many ranks',
      { optimizer: { partition_count: 1 } },
      /partition count is 1 but there are 2 ranks, up to 1/,
    ],
    [
      'a partition count of nothing',
      { optimizer: { partition_count: [] } },
      /'partition_count' is no number/,
    ],
    [
      'a partition count of 0',
      { optimizer: { partition_count: 0 } },
      /'partition_count' is no number/,
    ],
    [
      'ranks without end',
      { optimizer: { partition_count: huge } },
      /partition count is 1099511627776/,
    ],
    ['an unknown stage', { optimizer: { zero_stage: 4 } }, /'zero_stage' is 4/],
    [
      'too few elements',
      { groups: [[new Flat([1, 2, 3, 4, 5])], [new Flat([6])]] },
      /'b' of shape \[3\] begins at element 4 of the 6/,
    ],
    [
      'too many elements',
      { groups: [[new Flat([1, 2, 3, 4, 5])], [new Flat([6, 7, 8, 9])]] },
      /group 0 have 7 elements, its partitions 9/,
    ],
    [
      'fewer groups than shapes',
      { shapes: [new Map([['a', new Size(2, 2)]]), new Map([['b', new Size(3)]])] },
      /has 1 groups where 'param_shapes' has 2/,
    ],
    [
      'more groups than shapes',
      {
        groups: [
          [new Flat([1]), new Flat([2])],
          [new Flat([1]), new Flat([2])],
        ],
      },
      /has 2 groups where 'param_shapes' has 1/,
    ],
    [
      'groups of another rank',
      { groups: [[new Flat([1, 2, 3, 4, 5])], []] },
      /stage 2 with 0 groups where .* with 1/,
    ],
    ['no shapes', { shapes: [7] }, /group 0 of 'param_shapes' is no dict/],
    ['a negative size', { shapes: [new Map([['a', new Size(-1)]])] }, /something else than shapes/],
    [
      'a size above what is there',
      { shapes: [new Map([['a', new Size(huge)]])] },
      /'a' of shape \[1099511627776\] begins at element 0 of the 7/,
    ],
    [
      'sizes whose product overflows',
      { shapes: [new Map([['a', new Size(huge, huge, huge)]])] },
      /begins at element 0 of the 7/,
    ],
    [
      'sizes whose product wraps to 0',
      { shapes: [new Map([['a', new Size(2 ** 32, 2 ** 32)]])] },
      /begins at element 0 of the 7/,
    ],
    [
      'groups that are no tensors',
      { groups: [[1], [2]] },
      /group 0 of 'single_partition_of_fp32_groups' is no flat tensor/,
    ],
    [
      'groups that repeat an element',
      { groups: [[new Flat([1], [huge], [0])], [new Flat([1])]] },
      /is no flat tensor/,
    ],
    [
      'groups with a shape',
      { groups: [[new Flat([1, 2, 3, 4], [2, 2])], [new Flat([5])]] },
      /is no flat tensor/,
    ],
    [
      'paddings of other parameters',
      { optimizer: { param_alignment_paddings: [[0]] } },
      /1 alignment paddings for 2 parameters/,
    ],
    [
      'paddings without end',
      { optimizer: { param_alignment_paddings: [[huge, 0]] } },
      /begins at element 1099511627780 of the 7/,
    ],
    [
      'negative paddings',
      { optimizer: { param_alignment_paddings: [[-4, 0]] } },
      /'param_alignment_paddings' are no lists/,
    ],
    ['no buffer names', { model: { buffer_names: null } }, /no model states/],
    [
      'a frozen parameter without its elements',
      { model: { frozen_param_shapes: { f: new Size(2) } } },
      /no fragment of frozen parameter 'f'/,
    ],
    [
      'another stage than the files',
      { optimizer: { zero_stage: 3, fp32_flat_groups: one[0]! } },
      /is of stage 3, which the model states/,
    ],
    [
      'stage 3: too few elements',
      { stage: 3, groups: [[new Flat([1])], [new Flat([2])]] },
      /'a' of shape \[2, 2\] begins at element 0 of the 1/,
    ],
    [
      'stage 3: too many elements',
      { stage: 3, groups: [[new Flat([1, 2, 3, 4, 5])], [new Flat([1, 2, 3, 4, 5])]] },
      /have 8 elements, the partitions 10/,
    ],
    [
      'stage 3: other lengths on one rank',
      { stage: 3, groups: [[new Flat([1, 2, 5, 6])], [new Flat([3, 4, 7])]] },
      /groups have \[3\] elements where .* have \[4\]/,
    ],
    [
      'stage 3: sizes whose product overflows',
      { stage: 3, shapes: [new Map([['a', new Size(huge, huge)]])] },
      /begins at element 0 of the 4/,
    ],
  ] as const)('%s', async (_, changes, message) => {
    const path = zero(changes)
    const attempt = (checkpoint: Checkpoint) => {
      for (const tensor of checkpoint.tensors.values()) tensor.data
      checkpoint.close()
    }
    const error = { code: 'BAD_INDEX', message: expect.stringMatching(message) }
    expect(() => attempt(openSync(path))).toThrow(expect.objectContaining(error))
    expect(() => attempt(openSync(path, { parts: 'lazy' }))).toThrow(expect.objectContaining(error))
    await expect(open(path, { parts: 'open' }).then(attempt)).rejects.toMatchObject(error)
  })

  test.each([
    [
      'ranks that are named twice',
      `bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt`,
      'BAD_INDEX',
      /same rank/,
    ],
    [
      'tensor parallelism',
      'zero_pp_rank_1_mp_rank_01_optim_states.pt',
      'UNSUPPORTED_FORMAT',
      /parts of each layer/,
    ],
    [
      'experts',
      'layer_0_expert_3_mp_rank_00_model_states.pt',
      'UNSUPPORTED_FORMAT',
      /made of experts/,
    ],
    [
      'optimizers of experts',
      'expp_rank_0_mp_rank_00_optim_states.pt',
      'UNSUPPORTED_FORMAT',
      /made of experts/,
    ],
    [
      'a pipeline',
      'layer_01-model_00-model_states.pt',
      'UNSUPPORTED_FORMAT',
      /stages of a pipeline/,
    ],
  ])('%s', (_, file, code, message) => {
    const path = fresh()
    const step = writeZero(path)
    copyFileSync(join(step, 'zero_pp_rank_1_mp_rank_00_optim_states.pt'), join(step, file))
    const error = { code, message: expect.stringMatching(message) }
    expect(() => openSync(path)).toThrow(expect.objectContaining(error))
  })

  test('a model without weights of its own, and partitioned experts', () => {
    const layers = [{ checkpoint_format: 'zero3_partitioned' }]
    for (const model of [{ module: null }, { ds_autoep_layers: layers }]) {
      expect(() => openSync(zero({ model }))).toThrow(/UNSUPPORTED_FORMAT/)
    }
  })

  test('frozen shares that are too short', () => {
    const model = {
      frozen_param_shapes: { f: new Size(5) },
      frozen_param_fragments: { f: new Flat([1, 2]) },
    }
    using checkpoint = openSync(zero({ stage: 3, model }))
    expect(() => checkpoint.tensors.get('f')).toThrow(/has 5 elements, its fragments 4.*BAD_INDEX/)
    expect(checkpoint.skipped).toMatchObject([{ name: 'f', code: 'BAD_INDEX' }])
  })
})

describe('directories', () => {
  test('as Lightning writes them', () => {
    const path = `${fresh()}.ckpt`
    renameSync(writeZero(path), join(path, 'checkpoint'))
    writeFileSync(join(path, 'latest'), 'checkpoint')
    using checkpoint = openSync(path)
    expect([...checkpoint.tensors.get('b')!.data]).toEqual(WEIGHTS.b)
    expect(checkpoint.path).toBe(path)
  })

  test('a model of another format beside it goes first', () => {
    const path = fresh()
    writeZero(path)
    writeStates(join(path, 'pytorch_model.bin'), { w: new Flat([1]) })
    using checkpoint = openSync(path)
    expect(checkpoint.format).toBe('zip')
    writeFileSync(join(path, 'latest'), 'gone')
    openSync(path).close()
  })

  test('more than ten ranks are in the order of their numbers', () => {
    const path = fresh()
    const groups = Array.from({ length: 12 }, (_, rank) => [new Flat([2 * rank, 2 * rank + 1])])
    writeZero(path, {
      groups,
      shapes: [new Map([['w', new Size(24)]])],
      model: { shared_params: {} },
    })
    using checkpoint = openSync(path)
    expect([...checkpoint.tensors.get('w')!.data]).toEqual(Array.from({ length: 24 }, (_, i) => i))
  })
})

test('close() takes everything away', () => {
  const checkpoint = openSync(zero())
  const { a, b, mean } = Object.fromEntries(checkpoint.tensors) as Record<string, Tensor>
  const [view, copy] = [a!.data, b!.data]
  checkpoint.close()
  expect(view.length).toBe(0)
  expect(copy.length).toBe(3)
  for (const tensor of [a, b, mean]) expect(() => tensor!.data).toThrow(/CLOSED/)
  expect(() => checkpoint.tensors).toThrow(/CLOSED/)
  expect(() => checkpoint.stateDict()).toThrow(/CLOSED/)
  expect(() => checkpoint.root).toThrow(/CLOSED/)
  expect(a!.shape).toEqual([2, 2])
})

test('elements whose buffer was moved away are not given as zeros', () => {
  using checkpoint = openSync(zero(), { mmap: false })
  structuredClone(null, { transfer: [checkpoint.tensors.get('a')!.data.buffer as ArrayBuffer] })
  expect(() => checkpoint.tensors.get('b')!.data).toThrow(/moved away.*CLOSED/)
})

test('copies are bounded by limits.copyBytes', () => {
  using checkpoint = openSync(zero(), { limits: { copyBytes: 11 } })
  expect([...checkpoint.tensors.get('a')!.data]).toEqual(WEIGHTS.a)
  expect(() => checkpoint.tensors.get('b')!.data).toThrow(/12 bytes.*LIMIT_STORAGE/)
})

function zero(changes: Parameters<typeof writeZero>[1] = {}): string {
  const path = fresh()
  writeZero(path, changes)
  return path
}
