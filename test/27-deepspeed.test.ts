/** DeepSpeed's ZeRO checkpoints, put together as its own zero_to_fp32.py does. */
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
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
