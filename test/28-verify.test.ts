/** Checksums: verdicts of every golden archive, and of damage at every record of some. */
import {
  copyFileSync,
  cpSync,
  openSync as openFile,
  readFileSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { open, openSync, StateError, type VerifyOptions, type VerifyProgress } from '../lib/index'
import { op, pickle, zip } from './support/bytes'
import { FIXTURES, readManifest, SETS } from './support/golden'
import { refusal, rejection, temporaryFolder } from './support/samples'

const folder = temporaryFolder('verify')

/** A record as the archive's directory has it. */
interface Listed {
  name: string
  /** Bytes from the start of the file to the payload. */
  at: number
  bytes: number
  crc: number
  method: number
}

const WIDE = 0xffff_ffff

/** The directory, read here once more and in another way. */
function listed(file: Buffer): Listed[] {
  const end = file.lastIndexOf('PK\x05\x06', undefined, 'latin1')
  const end64 = file.lastIndexOf('PK\x06\x06', end, 'latin1')
  const records: Listed[] = []
  const isWide = file.readUInt32LE(end + 16) === WIDE || file.readUInt16LE(end + 10) === 0xffff
  let at = isWide ? Number(file.readBigUInt64LE(end64 + 48)) : file.readUInt32LE(end + 16)
  while (file.readUInt32LE(at) === 0x02014b50) {
    const [name, extra, comment] = [28, 30, 32].map((field) => file.readUInt16LE(at + field))
    // Values that do not fit stand in the zip64 field, in this order.
    let wide = file.indexOf('\x01\x00', at + 46 + name!, 'latin1') + 4
    const [, bytes, header] = [24, 20, 42].map((field) => {
      const value = file.readUInt32LE(at + field)
      if (value !== WIDE) return value
      wide += 8
      return Number(file.readBigUInt64LE(wide - 8))
    })
    records.push({
      name: file.toString('utf8', at + 46, at + 46 + name!),
      at: header! + 30 + file.readUInt16LE(header! + 26) + file.readUInt16LE(header! + 28),
      bytes: bytes!,
      crc: file.readUInt32LE(at + 16),
      method: file.readUInt16LE(at + 10),
    })
    at += 46 + name! + extra! + comment!
  }
  return records
}

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

/** A copy whose age is a whole second, so that it can be changed without anybody noticing. */
function copy(name: string): { path: string; flip: (at: number) => void } {
  const path = join(folder, basename(name))
  copyFileSync(join(FIXTURES, name), path)
  utimesSync(path, 1e9, 1e9)
  return { path, flip: (at) => flip(path, at) }
}

function flip(path: string, at: number): void {
  const file = openFile(path, 'r+')
  writeSync(file, Uint8Array.of(readFileSync(path)[at]! ^ 0x10), 0, 1, at)
  utimesSync(path, 1e9, 1e9)
}

describe.each([
  'torch-2.13/tied.pt',
  'torch-1.13/dtypes-float.pt',
  'torch-1.13/optimizer.pt',
  'torch-2.13/strides.pt',
  'torch-2.13/sparse-compressed.pt',
])('a flipped byte in %s', (name) => {
  test('is found in exactly its record, with exactly its tensors', async () => {
    const { path, flip } = copy(name)
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
    const { path, flip } = copy(name)
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

describe('deflated records', () => {
  const data = Buffer.alloc(4000, 'some text that repeats ')
  const entry = (name: string, bytes: Buffer, crc: number, stored = deflateRawSync(bytes)) => ({
    name,
    data: stored,
    method: 8,
    size: bytes.length,
    crc,
  })
  /** `zip` leaves checksums out. */
  function archive(...entries: ReturnType<typeof entry>[]): Buffer {
    const made = zip([{ name: 'a/data.pkl', data: pickle(op.NONE) }, ...entries])
    let at = -1
    for (const { crc } of [{ crc: 0 }, ...entries]) {
      at = made.indexOf('PK\x01\x02', at + 1, 'latin1')
      made.writeUInt32LE(crc, at + 16)
    }
    return made
  }

  test('are inflated', async () => {
    const deflated = deflateRawSync(data)
    const damaged = Buffer.from(deflated.subarray(0, deflated.length >> 1))
    const path = join(folder, 'deflated.pt')
    writeFileSync(
      path,
      archive(
        entry('a/good', data, crc32(data)),
        entry('a/absent', data, 0),
        entry('a/wrong', data, 77),
        entry('a/damaged', data, crc32(data), damaged),
      ),
    )
    for (const source of [path, readFileSync(path)]) {
      using checkpoint = openSync(source)
      const [, good, absent, wrong, broken] = await checkpoint.verify()
      const bytes = deflated.length
      const sum = crc32(data)
      expect(good).toMatchObject({ verdict: 'ok', bytes, ...{ expected: sum, actual: sum } })
      expect(absent).toMatchObject({ verdict: 'absent', bytes })
      expect(wrong).toMatchObject({ verdict: 'mismatch', bytes, expected: 77, actual: sum })
      expect(broken).toMatchObject({ verdict: 'mismatch', bytes: damaged.length, expected: sum })
      expect(broken!.actual).toBeUndefined()
      expect(broken!.message).toMatch(/damaged|inflates to/)
    }
  })

  test('are left alone where they are larger than allowed', async () => {
    using checkpoint = openSync(archive(entry('a/good', data, crc32(data))), {
      limits: { inflatedBytes: 3999 },
    })
    const [, good] = await checkpoint.verify()
    expect(good).toMatchObject({ verdict: 'none' })
    expect(good!.message).toContain('inflates to 4000 bytes where limits.inflatedBytes allows 3999')
  })
})

describe('progress and stopping', () => {
  /** 40 MiB in three storages. */
  const large = join(folder, 'large.pt')
  const storage = Buffer.alloc(20 << 20, 'abcdefg')
  writeFileSync(
    large,
    zip([
      { name: 'a/data.pkl', data: pickle(op.NONE) },
      { name: 'a/data/0', data: storage },
      { name: 'a/data/1', data: storage },
    ]),
  )
  // `zip` leaves checksums out.
  const made = readFileSync(large)
  for (let at = made.indexOf('PK\x01\x02', 0, 'latin1'); at !== -1; ) {
    const sum = crc32(made.readUInt16LE(at + 28) === 10 ? pickle(op.NONE) : storage)
    made.writeUInt32LE(sum, at + 16)
    at = made.indexOf('PK\x01\x02', at + 1, 'latin1')
  }
  made.writeUInt32LE(crc32(storage), made.lastIndexOf('PK\x01\x02', undefined, 'latin1') + 16)
  writeFileSync(large, made)

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
    const { path } = copy('torch-2.13/tied.pt')
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

describe('several files', () => {
  test('every part is checked', async () => {
    const paths = ['torch-2.13/tied.pt', 'torch-2.13/strides.pt'].map((name) => copy(name).path)
    using checkpoint = openSync(paths)
    const whole = await checkpoint.verify()
    expect([...new Set(whole.map(({ path }) => path))]).toEqual(paths)
    expect(new Set(whole.map(({ verdict }) => verdict))).toEqual(new Set(['ok']))
    const second = listed(readFileSync(paths[1]!)).find(({ name }) => name.endsWith('/data/0'))!
    flip(paths[1]!, second.at)
    const damaged = (await checkpoint.verify()).filter(({ verdict }) => verdict !== 'ok')
    expect(damaged).toMatchObject([
      { path: paths[1]!, record: second.name, verdict: 'mismatch', expected: second.crc },
    ])
    for (const name of damaged[0]!.tensors) expect(checkpoint.tensors.has(name)).toBe(true)
    expect(damaged[0]!.tensors.length).toBeGreaterThan(0)
    expect(damaged[0]!.actual).not.toBe(second.crc)
  })

  test('parts behind an index are opened', async () => {
    const path = join(FIXTURES, 'split/hub-bin')
    using checkpoint = openSync(path)
    const verdicts = await checkpoint.verify()
    expect(new Set(verdicts.map((row) => row.path))).toEqual(
      new Set(checkpoint.parts.map((part) => part.path)),
    )
    expect(verdicts.every(({ verdict }) => verdict === 'ok')).toBe(true)
    expect(checkpoint.parts.every(({ isOpen }) => isOpen)).toBe(true)
    using safe = openSync(join(FIXTURES, 'split/hub-safetensors'))
    for (const { verdict } of await safe.verify()) expect(verdict).toBe('none')
  })

  test('a part that is missing or cannot be opened has a verdict', async () => {
    const path = join(folder, 'hub-bin')
    cpSync(join(FIXTURES, 'split/hub-bin'), path, { recursive: true })
    using first = openSync(path)
    const [one, two] = first.parts.map((part) => part.path)
    writeFileSync(one!, 'no checkpoint')
    using checkpoint = openSync(path)
    const verdicts = await checkpoint.verify()
    expect(verdicts[0]).toMatchObject({ record: '', verdict: 'mismatch', path: one, tensors: [] })
    expect(verdicts[0]!.message).toContain('NOT_A_CHECKPOINT')
    expect(verdicts.slice(1).every((row) => row.path !== one && row.verdict === 'ok')).toBe(true)
    expect(verdicts.slice(1).some((row) => row.path === two)).toBe(true)
    expect(refusal(() => openSync(path, { verify: true })).code).toBe('NOT_A_CHECKPOINT')
  })

  test.each(['files', 'flat', 'fsdp', 'plain', 'uneven', 'megatron', 'torch-2.5'])(
    'the items of dcp/%s are archives',
    async (name) => {
      using checkpoint = openSync(join(FIXTURES, 'dcp', name))
      const events: VerifyProgress[] = []
      const verdicts = await checkpoint.verify({ onProgress: (event) => events.push(event) })
      expect(verdicts.filter(({ verdict }) => verdict === 'mismatch')).toEqual([])
      const index = verdicts.filter(({ verdict }) => verdict === 'none')
      expect(index.map(({ path }) => basename(path!))).toEqual([
        expect.stringMatching(/\.metadata$/),
      ])
      const named = new Set(verdicts.flatMap(({ tensors }) => tensors))
      for (const [tensor, { size }] of checkpoint.tensors)
        if (size > 0) expect([tensor, named.has(tensor)]).toEqual([tensor, true])
      expect(events.at(-1)!.loaded).toBe(events[0]!.total)
      openSync(join(FIXTURES, 'dcp', name), { verify: true }).close()
    },
  )

  test('a flipped byte of an item is found', async () => {
    const path = join(folder, 'dcp')
    cpSync(join(FIXTURES, 'dcp/plain'), path, { recursive: true })
    using whole = openSync(path)
    const rows = await whole.verify()
    const target = rows.find(({ record, bytes }) => /\/data\/0$/.test(record) && bytes > 0)!
    const file = readFileSync(target.path!)
    // The payload is the one run of bytes with this checksum.
    let at = 0
    while (crc32(file.subarray(at, at + target.bytes)) !== target.expected) ++at
    flip(target.path!, at)
    using checkpoint = openSync(path)
    const damaged = (await checkpoint.verify()).filter(({ verdict }) => verdict === 'mismatch')
    expect(damaged).toMatchObject([{ record: target.record, item: target.item, path: target.path }])
    expect(damaged[0]!.tensors).toEqual([target.item])
    expect(refusal(() => openSync(path, { verify: true })).code).toBe('CHECKSUM_MISMATCH')
  })

  test.each(['zero1-bf16', 'zero2', 'zero3'])('deepspeed/%s', async (name) => {
    using checkpoint = openSync(join(FIXTURES, 'deepspeed', name))
    const verdicts = await checkpoint.verify()
    expect(new Set(verdicts.map(({ path }) => path)).size).toBe(checkpoint.parts.length)
    expect(verdicts.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  })
})
