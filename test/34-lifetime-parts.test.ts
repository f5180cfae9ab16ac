/** How long the memory of checkpoints of several files lives, also when opening them fails half-way. */
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, jest, test } from '@jest/globals'
import { type Checkpoint, type OpenOptions, open, openSync } from '../lib/index'
import { bytes, global, int, ints, op, pickle, tensor, text } from './support/bytes'
import { writeArchive } from './support/checkpoint-writer'
import { inProcess } from './support/child'
import { FIXTURES } from './support/golden'
import { descriptors, isTold, mappings } from './support/memory'
import { refusal, temporaryFolder, tensorOf, writeSample } from './support/samples'

jest.setTimeout(300_000)

type Memory = typeof import('./support/memory')

const folder = temporaryFolder('lifetime-parts')
afterEach(() => expect([mappings(folder), descriptors(folder)]).toEqual([0, 0]))

/** A copy in the folder of this test, so that what is mapped there is known. */
function copied(name: string): string {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  cpSync(join(FIXTURES, name), path, { recursive: true })
  return path
}

function split(name: string, hasIndex: boolean): string {
  const path = join(folder, name)
  mkdirSync(path)
  for (const i of [1, 2]) writeSample(join(path, `x-0000${i}-of-00002.pth`), 10 * i)
  const weight_map = { weight: 'x-00001-of-00002.pth', other: 'x-00002-of-00002.pth' }
  if (hasIndex) writeFileSync(join(path, 'x.index.json'), JSON.stringify({ weight_map }))
  return path
}

const SOURCES: readonly (readonly [string, string])[] = [
  ['chunks', copied('dcp/fsdp')],
  ['chunks and a file beside', copied('dcp/lightning-fsdp')],
  ['chunks in safetensors', copied('dcp/safetensors')],
  ['objects', copied('dcp/files')],
  ['stage 2', copied('deepspeed/zero2')],
  ['stage 3', copied('deepspeed/zero3')],
  ['no stage', copied('deepspeed/zero0')],
  ['universal', copied('deepspeed/universal3')],
  ['parts with an index', split('indexed', true)],
  ['parts without', split('joined', false)],
]
const OPTIONS: readonly OpenOptions[] = [{}, { parts: 'lazy' }, { parts: 'open' }, { mmap: false }]

/** All that a closed checkpoint must refuse, and what it still says. */
function checkClosed(checkpoint: Checkpoint): void {
  expect(checkpoint.closed).toBe(true)
  for (const use of [
    () => checkpoint.tensors,
    () => checkpoint.stateDict(),
    () => checkpoint.stateDict({ from: 'x' }),
    () => checkpoint.stateDict({ fold: true }),
    () => checkpoint.root,
  ]) {
    expect(refusal(use).code).toBe('CLOSED')
  }
  const { format, era, path, size, parts, isSalvaged, byteOrder } = checkpoint
  expect([format, era, path, byteOrder].every((text) => typeof text === 'string')).toBe(true)
  expect([size > 0, parts.length > 0, isSalvaged]).toEqual([true, true, false])
  void checkpoint.metadata
}

describe.each(SOURCES)('%s', (_, path) => {
  test.each(OPTIONS)('nothing is left of what was used, with %o', async (options) => {
    for (const checkpoint of [openSync(path, options), await open(path, options)]) {
      const tensors = [...checkpoint.tensors.values()]
      const views = tensors.filter(({ isZeroCopy, size }) => isZeroCopy && size > 0)
      const arrays = views.map(({ data }) => data)
      const full = [...checkpoint.stateDict({ fold: true }).values()].map((tensor) => tensor.data)
      expect(full.length).toBeGreaterThan(0)
      if (options.mmap !== false && isTold) expect(mappings(folder)).toBeGreaterThan(0)
      const { root, skipped, tensors: map } = checkpoint
      expect([root, skipped]).not.toContain(undefined)
      const names = [...map.keys()]
      checkpoint.close()
      expect(arrays.map(({ length }) => length)).toEqual(arrays.map(() => 0))
      expect(names.map((name) => map.has(name))).toEqual(names.map(() => true))
      for (const tensor of tensors) {
        expect(refusal(() => tensor.data).code).toBe('CLOSED')
        expect(refusal(() => tensor.bytes()).code).toBe('CLOSED')
      }
      checkClosed(checkpoint)
      checkpoint.close()
    }
  })

  test.each(OPTIONS)('nothing is opened after close(), with %o', (options) => {
    const checkpoint = openSync(path, options)
    const { tensors } = checkpoint
    checkpoint.close()
    checkClosed(checkpoint)
    for (const use of [
      () => [...tensors.values()].map(({ data }) => data),
      () => checkpoint.skipped,
      () => checkpoint.flavor,
      () => checkpoint.training,
    ]) {
      let code: unknown
      try {
        use()
      } catch (error) {
        code = (error as { code: unknown }).code
      }
      expect([undefined, 'CLOSED']).toContain(code)
    }
  })

  test('two of them have nothing in common', () => {
    const [first, second] = [openSync(path), openSync(path)]
    const [name] = [...first.tensors.keys()]
    const { data } = tensorOf(second, name!)
    first.close()
    expect(data.length).toBe(tensorOf(second, name!).size)
    second.close()
  })

  test('a damaged file leaves nothing open', async () => {
    const files = (readdirSync(path, { recursive: true }) as string[])
      .map((name) => join(path, name))
      .filter((file) => statSync(file).isFile())
    for (const file of files) {
      const content = readFileSync(file)
      truncateSync(file, content.length >> 1)
      for (const options of OPTIONS) {
        const use = (checkpoint: Checkpoint) => {
          try {
            void checkpoint.skipped
            void checkpoint.root
            for (const tensor of checkpoint.tensors.values()) void tensor.data
          } finally {
            checkpoint.close()
          }
        }
        try {
          use(openSync(path, options))
        } catch {}
        expect([file, mappings(folder), descriptors(folder)]).toEqual([file, 0, 0])
        await open(path, options).then(use).catch(() => {}) // biome-ignore format: one chain
        expect([file, mappings(folder), descriptors(folder)]).toEqual([file, 0, 0])
      }
      writeFileSync(file, content)
    }
  })

  test('an opening that is stopped leaves nothing open', async () => {
    for (const turns of [0, 1, 2, 5]) {
      const controller = new AbortController()
      const opening = open(path, { parts: 'open', signal: controller.signal })
      for (let i = 0; i < turns; ++i) await Promise.resolve()
      controller.abort(new Error('enough'))
      const ended = await opening.then(
        (checkpoint) => checkpoint.close(),
        (error: Error) => expect(error.message).toBe('enough'),
      )
      expect([ended, mappings(folder), descriptors(folder)]).toEqual([undefined, 0, 0])
    }
  })
})

test('those that are dropped are collected', () => {
  const paths = SOURCES.map(([, path]) => path)
  const { result, stderr } = inProcess(
    async ({ openSync }, paths, memory) => {
      const { collectUntil, descriptors, mappings } = require(memory) as Memory
      const use = (path: string) => {
        const checkpoint = openSync(path, { parts: 'open' })
        for (const tensor of checkpoint.tensors.values()) void tensor.data
        for (const tensor of checkpoint.stateDict({ fold: true }).values()) void tensor.data
        return checkpoint.root !== undefined && mappings(path)
      }
      const used = paths.map(use)
      const left = () => paths.filter((path) => mappings(path) + descriptors(path) > 0)
      await collectUntil(() => left().length === 0)
      return { used, left: left() }
    },
    [paths, join(__dirname, 'support/memory')],
  )
  expect(stderr).toBe('')
  expect(result!.left).toEqual([])
  if (isTold) expect(result!.used).not.toContain(0)
})

describe('a chunk that is the whole tensor', () => {
  const METADATA = 'torch.distributed.checkpoint.metadata'
  const dict = (...items: Uint8Array[]) => bytes(op.EMPTY_DICT, op.MARK, ...items, op.SETITEMS)
  const object = (name: string, state: Uint8Array, module = METADATA) =>
    bytes(global(module, name), op.EMPTY_TUPLE, 0x81, state, op.BUILD)
  const size = (sizes: readonly number[]) =>
    bytes(global('torch', 'Size'), ints(sizes), op.TUPLE1, op.REDUCE)

  /** An index with one float32 tensor, `x`, of one chunk. */
  function index(count: number, length: number): Buffer {
    const layout = global('torch.serialization', '_get_layout')
    const strided = bytes(layout, text('torch.strided'), op.TUPLE1, op.REDUCE)
    const fields = [global('torch', 'float32'), strided, Buffer.of(op.NEWFALSE)]
    const properties = object('TensorProperties', bytes(op.MARK, ...fields, op.TUPLE))
    const chunk = object(
      'ChunkStorageMetadata',
      dict(text('offsets'), size([0]), text('sizes'), size([count])),
    )
    const item = object(
      'TensorStorageMetadata',
      dict(
        text('properties'),
        properties,
        text('size'),
        size([count]),
        text('chunks'),
        bytes(op.EMPTY_LIST, chunk, op.APPEND),
      ),
    )
    const key = object('MetadataIndex', dict(text('fqn'), text('x'), text('offset'), size([0])))
    const place = object(
      '_StorageInfo',
      dict(text('relative_path'), text('f'), text('offset'), int(0), text('length'), int(length)),
      'torch.distributed.checkpoint.filesystem',
    )
    return pickle(
      object(
        'Metadata',
        dict(
          text('state_dict_metadata'),
          dict(text('x'), item),
          text('storage_data'),
          dict(key, place),
        ),
      ),
    )
  }

  test('is opened once, however often pieces of it are asked for', () => {
    // Above 4 GiB, so that there is no buffer of all of it on Node 20.
    const count = 2 ** 30 + 2 ** 20
    const path = join(folder, 'long')
    mkdirSync(path)
    const data = pickle(tensor({ numel: count, sizes: [count] }))
    const seven = new Uint8Array(Float32Array.of(7).buffer)
    writeArchive(join(path, 'f'), [
      { name: 'data.pkl', size: data.length, parts: [{ offset: 0, bytes: data }] },
      { name: 'data/0', size: 4 * count, parts: [{ offset: 4 * 2 ** 30, bytes: seven }] },
      { name: 'version', size: 2, parts: [{ offset: 0, bytes: Buffer.from('3\n') }] },
    ])
    writeFileSync(join(path, '.metadata'), index(count, statSync(join(path, 'f')).size))
    using checkpoint = openSync(path)
    const whole = tensorOf(checkpoint, 'x')
    for (let i = 0; i < 100; ++i) {
      const piece = whole.bytes(4 * 2 ** 30, 4 * 2 ** 30 + 4)
      expect(new Float32Array(piece.slice().buffer)).toEqual(Float32Array.of(7))
    }
    if (isTold) expect(mappings(path)).toBeLessThan(3)
  })
})

test('weights cannot be computed of buffers that were moved away', () => {
  const source = readFileSync(join(FIXTURES, 'torch-2.13', 'fold-weight-norm.pt'))
  const moved = Uint8Array.from(source)
  using checkpoint = openSync(moved)
  const folded = checkpoint.stateDict({ fold: true })
  const computed = [...folded].filter(([name]) => !checkpoint.stateDict().has(name))
  const arrays = [...checkpoint.stateDict().values()].map(({ data }) => data)
  structuredClone(moved.buffer, { transfer: [moved.buffer] })
  // One is not contiguous: a copy.
  expect(arrays.filter(({ length }) => length > 0)).toHaveLength(1)
  expect(computed.length).toBeGreaterThan(0)
  for (const [, tensor] of computed) {
    const error = refusal(() => tensor.data)
    expect(error).toMatchObject({ code: 'CLOSED' })
    expect(error.message).toContain('moved away')
  }
})
