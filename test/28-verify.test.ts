/** Checksums: verdicts of every golden archive, and of damage at every record of some. */
import { readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32, inflateRawSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { open, openSync, StateError, type VerifyOptions, type VerifyProgress } from '../lib/index'
import { copyOf, listed, zipWithChecksums } from './support/archives'
import { op, pickle } from './support/bytes'
import { FIXTURES, readManifest, SETS } from './support/golden'
import { refusal, rejection, temporaryFolder } from './support/samples'

const folder = temporaryFolder('verify')

const ARCHIVES = ['zip', 'torchscript', 'package', 'pt2']
const goldens = SETS.flatMap((set) =>
  readManifest(set)
    .filter(({ error, format }) => error === undefined && format !== null)
    .map((row) => ({ ...row, path: join(FIXTURES, set, row.file) })),
)

describe('goldens', () => {
  const zips = goldens.filter(({ format }) => ARCHIVES.includes(format!))

  test('there are many', () => expect(zips.length).toBeGreaterThan(100))

  test.each(zips.map(({ path }) => path.slice(FIXTURES.length + 1)))('%s', async (name) => {
    const path = join(FIXTURES, name)
    using checkpoint = openSync(path)
    const verdicts = await checkpoint.verify()
    const file = readFileSync(path)
    const wanted = listed(file).map(({ name: record, at, bytes, crc: expected, method }) => {
      const stored = file.subarray(at, at + bytes)
      const actual = crc32(method === 8 ? inflateRawSync(stored) : stored)
      const known = { record, bytes, path, tensors: expect.any(Array) }
      if (expected === 0 && bytes > 0) return { ...known, verdict: 'absent' }
      return { ...known, verdict: actual === expected ? 'ok' : 'mismatch', expected, actual }
    })
    expect(verdicts).toEqual(wanted)
    const damaged = verdicts.filter(({ verdict }) => verdict === 'mismatch')
    expect(damaged.map(({ record }) => record)).toEqual(
      name === 'crafted/checksum-wrong.pt' ? ['net/data/0'] : [],
    )
    // Bytes and a file that is not mapped give the same.
    using read = openSync(path, { mmap: false })
    expect(await read.verify()).toEqual(verdicts)
    using bytes = openSync(readFileSync(path))
    expect(await bytes.verify()).toEqual(verdicts.map((row) => ({ ...row, path: undefined })))
  })

  test('tensors are named at the records they lie in', async () => {
    let count = 0
    for (const { path, tensors, format } of zips) {
      if (format !== 'zip') continue
      using checkpoint = openSync(path)
      const verdicts = await checkpoint.verify()
      for (const name of Object.keys(tensors)) {
        const tensor = checkpoint.tensors.get(name)!
        if (tensor.layout !== 'strided' || tensor.isMeta || tensor.local !== undefined) continue
        if (tensor.storage === undefined || tensor.storage.byteLength === 0) continue
        if (tensor.parts.values !== undefined || tensor.qscheme?.includes('channel')) continue
        const records = verdicts.filter((verdict) => verdict.tensors.includes(name))
        const inRecord = records.map(({ record }) => record.slice(record.indexOf('/data/') + 6))
        expect({ path, name, inRecord }).toEqual({ path, name, inRecord: [tensor.storage.key] })
        ++count
      }
    }
    expect(count).toBeGreaterThan(300)
  })

  const others = goldens.filter(({ format }) => !ARCHIVES.includes(format!))

  test.each(others.map(({ path }) => path.slice(FIXTURES.length + 1)))('%s', async (name) => {
    const path = join(FIXTURES, name)
    using checkpoint = openSync(path)
    const verdicts = await checkpoint.verify()
    expect(verdicts.length).toBeGreaterThan(0)
    for (const verdict of verdicts) expect(verdict).toMatchObject({ verdict: 'none', path })
    const known = new Set(verdicts.flatMap(({ tensors }) => tensors))
    for (const tensor of known) expect(checkpoint.tensors.has(tensor)).toBe(true)
  })
})

describe.each([
  'torch-2.13/tied.pt',
  'torch-1.13/dtypes-float.pt',
  'torch-1.13/optimizer.pt',
  'torch-2.13/strides.pt',
  'torch-2.13/sparse-compressed.pt',
])('a flipped byte in %s', (name) => {
  test('is found in exactly its record, with exactly its tensors', async () => {
    const { path, flip } = copyOf(name, folder)
    const records = listed(readFileSync(path)).filter(({ bytes }) => bytes > 0)
    expect(records.length).toBeGreaterThan(3)
    using checkpoint = openSync(path)
    const whole = await checkpoint.verify()
    for (const { name: record, at, bytes } of records) {
      for (const place of new Set([at, at + bytes - 1])) {
        flip(place)
        const found = await checkpoint.verify()
        const actual = crc32(readFileSync(path).subarray(at, at + bytes))
        expect(found).toEqual(
          whole.map((row) =>
            row.record === record ? { ...row, verdict: 'mismatch', actual } : row,
          ),
        )
        flip(place)
      }
    }
    expect(await checkpoint.verify()).toEqual(whole)
  })

  test('is refused with the option verify', async () => {
    const { path, flip } = copyOf(name, folder)
    const records = listed(readFileSync(path)).filter(({ name: record }) => /\/data\//.test(record))
    expect(records.length).toBeGreaterThan(0)
    openSync(path, { verify: true }).close()
    for (const { name: record, at, bytes, crc } of records.filter(({ bytes }) => bytes > 0)) {
      flip(at)
      const actual = crc32(readFileSync(path).subarray(at, at + bytes))
      const error = refusal(() => openSync(path, { verify: true }))
      expect(error).toMatchObject({ name: 'FormatError', code: 'CHECKSUM_MISMATCH', path, record })
      expect(error.message).toContain(
        `the ${bytes} bytes of record '${record}' have CRC-32 ${actual} but the archive says ${crc}`,
      )
      expect(await rejection(open(path, { verify: true }))).toEqual(error)
      const { message } = refusal(() => openSync(readFileSync(path), { verify: true }))
      expect(message).toContain(`have CRC-32 ${actual} but the archive says ${crc}`)
      openSync(path).close()
      flip(at)
    }
  })
})

test('names of the tensors over a record, shared storages and parts included', async () => {
  using checkpoint = openSync(join(FIXTURES, 'torch-2.13/tied.pt'))
  const over = (await checkpoint.verify()).filter(({ tensors }) => tensors.length > 0)
  const keys = new Map<string, string[]>()
  for (const [name, { storage }] of checkpoint.tensors) {
    const key = storage!.key
    keys.set(key, [...(keys.get(key) ?? []), name])
  }
  expect(new Map(over.map(({ record, tensors }) => [record.split('/data/')[1]!, tensors]))).toEqual(
    keys,
  )
  expect(over.some(({ tensors }) => tensors.length > 1)).toBe(true)

  using sparse = openSync(join(FIXTURES, 'torch-2.13/sparse-compressed.pt'))
  const counts = new Map<string, number>()
  for (const { tensors } of await sparse.verify()) {
    for (const name of tensors) counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  // Indices and values, or compressed and plain indices and values.
  for (const [name, { layout }] of sparse.tensors) {
    if (layout === 'sparse_coo') expect(counts.get(name)).toBe(2)
    else if (layout !== 'strided') expect(counts.get(name)).toBe(3)
  }
})

describe('progress and stopping', () => {
  /** 40 MiB in two storages. */
  const large = join(folder, 'large.pt')
  const storage = Buffer.alloc(20 << 20, 'abcdefg')
  writeFileSync(
    large,
    zipWithChecksums([
      { name: 'a/data.pkl', data: pickle(op.NONE) },
      { name: 'a/data/0', data: storage },
      { name: 'a/data/1', data: storage },
    ]),
  )

  test('counts the bytes of all files', async () => {
    const events: VerifyProgress[] = []
    using checkpoint = openSync([large, join(FIXTURES, 'torch-2.13/tied.pt')])
    const verdicts = await checkpoint.verify({ onProgress: (event) => events.push(event) })
    expect(new Set(verdicts.map(({ verdict }) => verdict))).toEqual(new Set(['ok']))
    const total = checkpoint.size
    expect(events[0]).toEqual({ phase: 'verify', loaded: 0, total, name: large })
    expect(events.at(-1)).toEqual({
      phase: 'verify',
      loaded: total,
      total,
      name: join(FIXTURES, 'torch-2.13/tied.pt'),
    })
    for (const [i, event] of events.entries()) {
      expect(event.total).toBe(total)
      if (i > 0) expect(event.loaded).toBeGreaterThanOrEqual(events[i - 1]!.loaded)
    }
  })

  test('stops when asked to', async () => {
    using checkpoint = openSync(large)
    const reason = new Error('enough')
    const before = AbortSignal.abort(reason)
    expect(await rejection(checkpoint.verify({ signal: before }))).toBe(reason)
    const controller = new AbortController()
    const running = checkpoint.verify({ signal: controller.signal })
    controller.abort(reason)
    expect(await rejection(running)).toBe(reason)
    expect((await checkpoint.verify()).every(({ verdict }) => verdict === 'ok')).toBe(true)
    expect(await rejection(open(large, { signal: before, verify: true }))).toBe(reason)
  })

  test('stops when the listener throws', async () => {
    using checkpoint = openSync(large)
    const reason = new Error('no')
    const onProgress = () => {
      throw reason
    }
    expect(await rejection(checkpoint.verify({ onProgress }))).toBe(reason)
  })

  test('rejects when the checkpoint is closed, before and meanwhile', async () => {
    const checkpoint = openSync(large)
    const running = rejection(checkpoint.verify())
    checkpoint.close()
    expect(await running).toBeInstanceOf(StateError)
    expect(await running).toMatchObject({ code: 'CLOSED' })
    expect(await rejection(checkpoint.verify())).toMatchObject({ code: 'CLOSED' })
  })

  test('rejects when the file is no longer the one that was opened', async () => {
    const { path } = copyOf('torch-2.13/tied.pt', folder)
    using checkpoint = openSync(path)
    utimesSync(path, 2e9, 2e9)
    expect(await rejection(checkpoint.verify())).toMatchObject({ code: 'FILE_CHANGED' })
  })

  test('reads what the file holds, not what was written to tensors', async () => {
    using checkpoint = openSync(join(FIXTURES, 'torch-2.13/tied.pt'))
    for (const tensor of checkpoint.tensors.values()) {
      new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength).fill(7)
    }
    for (const { verdict } of await checkpoint.verify()) expect(verdict).toBe('ok')
  })

  test.each<[unknown, string]>([
    [3, 'options'],
    [null, 'options'],
    [{ signal: 3 }, 'options.signal'],
    [{ onProgress: 3 }, 'options.onProgress'],
    [{ onprogress: () => 0 }, 'options'],
  ])('%p is refused', async (options, name) => {
    using checkpoint = openSync(large)
    const error = await rejection(checkpoint.verify(options as VerifyOptions))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain(name)
  })
})

test.each([
  ['torch-2.13/tied-legacy.pt', 1],
  ['crafted/tar.pt', 2000],
  ['safetensors/bits.safetensors', 1],
] as const)('without checksums the sizes are checked: %s', async (name, bytes) => {
  const whole = readFileSync(join(FIXTURES, name))
  const path = join(folder, 'cut')
  writeFileSync(path, whole)
  using checkpoint = openSync(path)
  openSync(path, { verify: true }).close()
  writeFileSync(path, whole.subarray(0, -bytes))
  expect(await rejection(checkpoint.verify())).toMatchObject({ code: 'FILE_CHANGED', path })
  const error = refusal(() => openSync(path, { verify: true }))
  expect(error).toMatchObject({ name: 'FormatError', code: 'TRUNCATED', path })
  expect(await rejection(open(path, { verify: true }))).toEqual(error)
})
