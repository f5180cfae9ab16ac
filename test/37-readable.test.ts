/** Tensors as the bytes of a safetensors file. */
import { copyFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from '@jest/globals'
import { openSync, type ReadableOptions, type ReadableProgress, type Tensor } from '../lib/index'
import { writeCheckpoint } from './support/checkpoint-writer'
import { FIXTURES } from './support/golden'
import { both, rejection, temporaryFolder } from './support/samples'

const folder = temporaryFolder('readable')
const golden = (name: string) => join(FIXTURES, name)

const size = 1 << 20
const large = join(folder, 'large.pth')
writeCheckpoint(
  large,
  ['0', '1', '2', '3'].map((key) => ({ name: key, type: 'Byte', key, numel: size, shape: [size] })),
  ['0', '1', '2', '3'].map((key) => {
    return { key, size, parts: [{ offset: 0, bytes: new Uint8Array(size).fill(Number(key) + 1) }] }
  }),
)

async function collected(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of Readable.fromWeb(stream as never)) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks)
}

const described = ({ name, dtype, shape }: Tensor) => ({ name, dtype, shape })

test.each([
  'torch-2.13/dtypes-float.pt',
  'torch-2.13/dtypes-float8.pt',
  'torch-2.13/dtypes-integer.pt',
  'torch-2.13/dtypes-unsigned-legacy.pt',
  'torch-2.13/strides.pt',
  'torch-2.13/keys-unicode.pt',
  'torch-2.13/state-dict.pt',
  'torch-1.13/state-dict-legacy.pt',
  'split/hub-bin',
  'dcp/uneven',
  'deepspeed/zero3',
])('%s opens again as safetensors, with the same elements', async (name) => {
  for (const checkpoint of await both(golden(name))) {
    const names = [...checkpoint.tensors.values()]
      .filter(({ layout, isMeta }) => layout === 'strided' && !isMeta)
      .map((tensor) => tensor.name)
    expect(names.length).toBeGreaterThan(1)
    const stream = checkpoint.readable({ names })
    const { byteLength } = stream
    const bytes = await collected(stream)
    expect(bytes.length).toBe(byteLength)
    using again = openSync(bytes)
    expect(again.format).toBe('safetensors')
    expect([...again.tensors.keys()].sort()).toEqual([...names].sort())
    for (const name of names) {
      const [tensor, wanted] = [again.tensors.get(name)!, checkpoint.tensors.get(name)!]
      expect(described(tensor)).toEqual(described(wanted))
      expect(Buffer.from(tensor.bytes()).equals(Buffer.from(wanted.bytes()))).toBe(true)
    }
    checkpoint.close()
  }
})

test('goes at the pace of the consumer', async () => {
  using checkpoint = openSync(large)
  const events: ReadableProgress[] = []
  const reader = checkpoint.readable({ onProgress: (event) => events.push(event) }).getReader()
  await reader.read()
  await pause(20)
  const before = events.length
  await pause(20)
  expect(events.length).toBe(before)
  expect(before).toBeLessThan(3)
  while (!(await reader.read()).done);
  const { loaded, total } = events.at(-1)!
  expect(events.at(-1)).toMatchObject({ phase: 'read', name: '3' })
  expect(loaded).toBe(total)
  expect(events.length).toBeGreaterThanOrEqual(16)
})

test("a chunk is the consumer's own", async () => {
  using checkpoint = openSync(large)
  const reader = checkpoint.readable().getReader()
  await reader.read()
  const { value } = await reader.read()
  structuredClone(value, { transfer: [value!.buffer as ArrayBuffer] })
  expect(checkpoint.tensors.get('0')!.data[0]).toBe(1)
  await reader.cancel()
})

test('what stops it is its error', async () => {
  const reason = new Error('enough')
  using checkpoint = openSync(large)
  const aborted = checkpoint.readable({ signal: AbortSignal.abort(reason) })
  expect(await rejection(collected(aborted))).toBe(reason)
  const onProgress = () => {
    throw reason
  }
  expect(await rejection(collected(checkpoint.readable({ onProgress })))).toBe(reason)

  const closed = openSync(large)
  const reader = closed.readable().getReader()
  await reader.read()
  await reader.read()
  closed.close()
  const rest = async () => {
    while (!(await reader.read()).done);
  }
  expect(await rejection(rest())).toMatchObject({ code: 'CLOSED' })

  const copy = join(folder, 'copy.pth')
  copyFileSync(large, copy)
  using changed = openSync(copy, { mmap: false })
  const stream = changed.readable()
  truncateSync(copy, 1000)
  expect(await rejection(collected(stream))).toMatchObject({ code: 'FILE_CHANGED' })
})

test('what safetensors cannot hold is refused before the first byte', async () => {
  const cases: [string, ReadableOptions, string][] = [
    ['torch-2.13/quantised-tensor.pt', {}, 'UNSUPPORTED_DTYPE'],
    ['torch-2.13/dtypes-complex.pt', {}, 'UNSUPPORTED_DTYPE'],
    ['torch-2.13/sparse-coo.pt', {}, 'UNSUPPORTED_LAYOUT'],
    ['torch-2.13/meta.pt', {}, 'UNSUPPORTED_LAYOUT'],
    ['torch-2.13/state-dict.pt', { names: ['no'] }, 'NO_SUCH_TENSOR'],
    ['torch-2.13/state-dict.pt', { names: 'no' }, 'ERR_INVALID_ARG_TYPE'],
    ['torch-2.13/state-dict.pt', { nmaes: [] } as ReadableOptions, 'ERR_INVALID_ARG_VALUE'],
  ]
  for (const [name, options, code] of cases) {
    using checkpoint = openSync(golden(name))
    const use = async () => checkpoint.readable(options)
    expect(await rejection(use())).toMatchObject({ code })
  }
})

test('nothing at all is a file too', async () => {
  using checkpoint = openSync(large)
  using again = openSync(await collected(checkpoint.readable({ names: [] })))
  expect(again.tensors.size).toBe(0)
})
