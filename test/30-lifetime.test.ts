/** How long memory lives: views keep pages, `close()` takes them away, and nothing is left over. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, jest, test } from '@jest/globals'
import { type Checkpoint, open, openSync, type Tensor, type TensorData } from '../lib/index'
import { inProcess } from './support/child'
import { descriptors, isTold, mappings } from './support/memory'
import { ramp, refusal, temporaryFolder, tensorOf, writeSample } from './support/samples'

// Sanitizers and busy machines make processes start slowly.
jest.setTimeout(300_000)

const folder = temporaryFolder('lifetime')
const path = writeSample(join(folder, 'sample.pth'))

type Memory = typeof import('./support/memory')
const memoryModule = join(__dirname, 'support/memory')

/** In a process of its own, whose small heap is collected quickly and by nobody else. */
const dropping = (
  count: number,
  take: (checkpoint: Checkpoint) => { readonly data: TensorData } | undefined,
) =>
  inProcess(
    async ({ openSync }, path, memory, count, take) => {
      const { collectUntil, descriptors, mappings } = require(memory) as Memory
      const taken = new Function(`return ${take}`)() as (from: Checkpoint) => Tensor | undefined
      let held = Array.from({ length: count }, () => taken(openSync(path)))
      await collectUntil(() => mappings(path) === 0)
      const values = Array.from(held[0]?.data ?? [], Number)
      const whileHeld = mappings(path)
      held = []
      const isGone = await collectUntil(() => mappings(path) === 0)
      return { values, whileHeld, isGone, descriptors: descriptors(path) }
    },
    [path, memoryModule, count, String(take)],
  )

describe('dropped checkpoints', () => {
  test('views outlive theirs, and the pages go with the last of them', () => {
    const { result } = dropping(1, ({ tensors }) => ({ data: tensors.get('weight')!.data }))
    expect(result).toMatchObject({ values: [0, 1, 2, 3, 4, 5], isGone: true, descriptors: 0 })
    expect(result?.whileHeld).toBe(isTold ? 1 : 0)
  })

  test('a tensor keeps its own, although nothing was read', () => {
    const { result } = dropping(1, ({ tensors }) => tensors.get('other'))
    expect(result).toMatchObject({ values: [100, 101, 102, 103], isGone: true, descriptors: 0 })
  })

  test('many of them leave nothing', () => {
    const views = dropping(300, ({ tensors }) => ({ data: tensors.get('weight')!.data }))
    expect(views.result).toMatchObject({ isGone: true, descriptors: 0 })
    const unread = dropping(300, () => undefined)
    expect(unread.result).toMatchObject({ isGone: true, whileHeld: 0, descriptors: 0 })
  })
})

describe('close()', () => {
  test('takes the pages away: views have length 0', () => {
    const checkpoint = openSync(path)
    const { data } = tensorOf(checkpoint, 'weight')
    const bytes = tensorOf(checkpoint, 'other').bytes(4)
    expect([data.length, bytes.length, mappings(path)]).toEqual([6, 12, isTold ? 1 : 0])
    checkpoint.close()
    expect([data.length, bytes.length, data.buffer.byteLength]).toEqual([0, 0, 0])
    expect(mappings(path)).toBe(0)
    expect(checkpoint.closed).toBe(true)
  })

  test('leaves copies', () => {
    const checkpoint = openSync(path)
    const { data } = tensorOf(checkpoint, 'column')
    checkpoint.close()
    expect(data).toEqual(Float32Array.of(0, 3))
  })

  test("leaves the caller's bytes", () => {
    const bytes = readFileSync(path)
    const checkpoint = openSync(bytes)
    const { data } = tensorOf(checkpoint, 'weight')
    checkpoint.close()
    expect(data).toEqual(ramp(6))
    expect(bytes.length).toBeGreaterThan(0)
  })

  test.each<[string, (checkpoint: Checkpoint, tensor: Tensor) => unknown]>([
    ['tensors', (checkpoint) => checkpoint.tensors],
    ['root', (checkpoint) => checkpoint.root],
    ['stateDict()', (checkpoint) => checkpoint.stateDict()],
    ['data', (_, tensor) => tensor.data],
    ['bytes()', (_, tensor) => tensor.bytes()],
    ['bytes(0, 4)', (_, tensor) => tensor.bytes(0, 4)],
    ['toFloat32()', (_, tensor) => tensor.toFloat32()],
    ['toDense()', (_, tensor) => tensor.toDense()],
    ['rows()', (_, tensor) => tensor.rows()],
    ['isZeroCopy', (_, tensor) => tensor.isZeroCopy],
  ])('makes %s throw CLOSED', (_, use) => {
    for (const isUsedBefore of [false, true]) {
      const checkpoint = openSync(path)
      const tensor = tensorOf(checkpoint, 'weight')
      if (isUsedBefore) void [checkpoint.root, checkpoint.stateDict(), tensor.data]
      checkpoint.close()
      const error = refusal(() => use(checkpoint, tensor))
      expect(error).toMatchObject({ name: 'StateError', code: 'CLOSED', path })
    }
  })

  test('leaves what describes the checkpoint and its tensors', () => {
    const checkpoint = openSync(path)
    const { tensors } = checkpoint
    const tensor = tensorOf(checkpoint, 'weight')
    const before = JSON.stringify(tensor)
    checkpoint.close()
    expect(JSON.stringify(tensor)).toBe(before)
    expect([...tensors.keys()]).toEqual(['weight', 'tied', 'column', 'other'])
    expect(tensors.get('other')?.shape).toEqual([4])
    expect([checkpoint.format, checkpoint.path]).toEqual(['zip', path])
  })

  test('twice is like once, before a new opening too', () => {
    const first = openSync(path)
    first.close()
    const second = openSync(path)
    const { data } = tensorOf(second, 'weight')
    first.close()
    expect(data).toEqual(ramp(6))
    second.close()
    second.close()
    expect(data.length).toBe(0)
  })

  test('of one leaves the views of another over the same file', () => {
    const [first, second] = [openSync(path), openSync(path)]
    const views = [first, second].map((checkpoint) => tensorOf(checkpoint, 'weight').data)
    first.close()
    expect(views.map(({ length }) => length)).toEqual([0, 6])
    second.close()
    expect(mappings(path)).toBe(0)
  })
})

test('using and await using close at the end of the block, also when it throws', async () => {
  const checkpoints: Checkpoint[] = []
  {
    using checkpoint = openSync(path)
    checkpoints.push(checkpoint)
    expect(checkpoint.closed).toBe(false)
  }
  const failing = async () => {
    await using checkpoint = await open(path)
    checkpoints.push(checkpoint)
    throw new Error('of the caller')
  }
  await expect(failing()).rejects.toThrow('of the caller')
  expect(checkpoints.map(({ closed }) => closed)).toEqual([true, true])
})

test('1,000 openings leave no mapping and no descriptor', async () => {
  for (let i = 0; i < 1000; ++i) {
    const checkpoint = i % 2 === 0 ? openSync(path) : await open(path, { mmap: i % 3 === 0 })
    if (i % 5 !== 0) expect(tensorOf(checkpoint, 'weight').data[5]).toBe(5)
    checkpoint.close()
  }
  expect([mappings(path), descriptors(path)]).toEqual([0, 0])
})

test('refused files leave no mapping and no descriptor', async () => {
  const broken = join(__dirname, 'fixtures/crafted/broken-extent.pt')
  for (let i = 0; i < 100; ++i) {
    expect(refusal(() => openSync(broken)).code).toBe('BAD_TENSOR')
    await expect(open(broken)).rejects.toMatchObject({ code: 'BAD_TENSOR' })
  }
  expect([mappings(broken), descriptors(broken)]).toEqual([0, 0])
})

test('without external buffers there are copies of the same bytes', () => {
  const read = (env: NodeJS.ProcessEnv) =>
    inProcess(
      ({ openSync }, path) => {
        const checkpoint = openSync(path)
        const tensors = [...checkpoint.tensors.values()]
        const rows = tensors.map((tensor) => [Array.from(tensor.data, Number), tensor.isZeroCopy])
        const isShared = tensors[0]?.data.buffer === tensors[1]?.data.buffer
        const held = tensors.map(({ data }) => data)
        const buffers = held.map(({ buffer }) => buffer.byteLength)
        checkpoint.close()
        return { rows, isShared, buffers, lengths: held.map(({ length }) => length) }
      },
      [path],
      env,
    )
  const pages = read({})
  const copies = read({ TORCHMAP_EXTERNAL_BUFFERS: 'off' })
  const values = [
    [0, 1, 2, 3, 4, 5],
    [0, 1, 2, 3, 4, 5],
    [0, 3],
    [100, 101, 102, 103],
  ]
  expect(pages.result?.rows).toEqual(values.map((value, i) => [value, i !== 2]))
  expect(copies.result?.rows).toEqual(values.map((value) => [value, false]))
  expect([pages.result?.isShared, copies.result?.isShared]).toEqual([true, true])
  // Pages are shared by neighbours; nothing is copied that lies beside what was asked for.
  expect(new Set(pages.result?.buffers).size).toBe(2)
  expect(copies.result?.buffers).toEqual([24, 24, 8, 16])
  // Alike to the caller: what was a view is gone, what was gathered stays.
  expect(copies.result?.lengths).toEqual(pages.result?.lengths)
})

test('process.exit() with live tensors is an ordinary exit', () => {
  const ending = inProcess(
    ({ openSync }, path) => {
      const held = Array.from({ length: 50 }, () => openSync(path).tensors.get('weight')?.data)
      process.exit(held.length === 50 ? 7 : 1)
    },
    [path],
  )
  expect([ending.how, ending.stderr]).toEqual([7, ''])
})
