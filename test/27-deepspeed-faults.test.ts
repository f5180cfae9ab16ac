/** ZeRO directories with files missing, damaged, or not fitting together. */
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { type Checkpoint, open, openSync } from '../lib/index'
import { Flat, Size, WEIGHTS, writeStates, writeZero } from './support/deepspeed-writer'
import { FIXTURES } from './support/golden'

const SET = join(FIXTURES, 'deepspeed')
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

function zero(changes: Parameters<typeof writeZero>[1] = {}): string {
  const path = fresh()
  writeZero(path, changes)
  return path
}
