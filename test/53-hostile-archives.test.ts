/** Archives that lie: about places, sizes, counts and names. Nothing is believed before it is checked. */
import { deflateRawSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, openSync } from '../lib/index'
import {
  bytes,
  type EndOptions,
  type Entry,
  pickle,
  sampleEntries,
  tensor,
  u32,
  u64,
  zip,
} from './support/bytes'
import { ramp, refusal } from './support/samples'

const data = pickle(tensor())
const sample = () => sampleEntries(data)

/** The sample with other things said of one of its records, or with one more. */
function changed(change: Partial<Entry>, index = 1): Entry[] {
  return sample().map((entry, i) => (i === index ? { ...entry, ...change } : entry))
}

const codeOf = (entries: readonly Entry[], end?: EndOptions) =>
  refusal(() => {
    const checkpoint = openSync(zip(entries, end))
    for (const { data } of checkpoint.tensors.values()) void data
  }).code

function first(checkpoint: Checkpoint) {
  const [tensor] = checkpoint.tensors.values()
  return tensor?.data
}

test('what these tests change can be read', () => {
  expect(first(openSync(zip(sample())))).toEqual(ramp(4))
})

describe('places and sizes', () => {
  const payload = sample()[1]!.data
  test.each<[string, Partial<Entry>]>([
    ['a record of almost 4 GiB', { stored: 0xffff_fff0 }],
    ['a record that starts past the end', { offset: 0x7fff_ffff }],
    ['a record that starts in the last byte before the directory', { offset: 280 }],
    ['two sizes for stored bytes', { stored: 16, size: 17 }],
    ['two records of the same bytes', { offset: 0 }],
    ['zip64 without its field', { stored: 0xffff_ffff, size: 0xffff_ffff }],
    [
      'a zip64 field that is too short',
      { stored: 0xffff_ffff, size: 0xffff_ffff, extra: bytes(1, 0, 4, 0, u32(16)) },
    ],
    [
      'a zip64 field of 2^63 bytes',
      {
        stored: 0xffff_ffff,
        size: 0xffff_ffff,
        extra: bytes(1, 0, 16, 0, u64(2n ** 63n), u64(2n ** 63n)),
      },
    ],
    [
      'a zip64 place past 2^64',
      { offset: 0xffff_ffff, extra: bytes(1, 0, 8, 0, u64(2n ** 64n - 8n)) },
    ],
  ])('%s is BAD_ARCHIVE', (_, change) => {
    expect(codeOf(changed(change))).toBe('BAD_ARCHIVE')
  })

  test('zip64 fields that hold just what is saturated are right', () => {
    const extra = bytes(1, 0, 16, 0, u64(16n), u64(16n))
    const source = zip(changed({ data: payload }))
    const at = source.lastIndexOf('a/data/0') - 46
    const wide = bytes(
      source.subarray(0, at),
      source.subarray(at, at + 54),
      extra,
      source.subarray(at + 54),
    )
    wide.writeUInt32LE(0xffff_ffff, at + 20)
    wide.writeUInt32LE(0xffff_ffff, at + 24)
    wide.writeUInt16LE(extra.length, at + 30)
    const end = wide.length - 22
    wide.writeUInt32LE(wide.readUInt32LE(end + 12) + extra.length, end + 12)
    expect(first(openSync(wide))).toEqual(ramp(4))
  })

  test('records that overlap in part', () => {
    const inner = { ...sample()[1]!, name: 'a/data/1', isGhost: true, stored: 4 }
    const at = zip(sample()).indexOf('a/data/0') - 30
    expect(codeOf([...sample(), { ...inner, offset: at }])).toBe('BAD_ARCHIVE')
  })

  test('a thousand names for one payload', () => {
    const ghosts = Array.from({ length: 1000 }, (_, i) => ({
      ...sample()[0]!,
      name: `a/${i}`,
      isGhost: true,
      offset: 0,
    }))
    expect(codeOf([...sample(), ...ghosts])).toBe('BAD_ARCHIVE')
  })
})

describe('counts', () => {
  test.each<[string, EndOptions]>([
    ['more records than there are', { count: 4 }],
    ['32,767 records', { count: 32_767 }],
    ['fewer records than there are', { count: 1 }],
    ['no records', { count: 0 }],
    ['a directory of 2 GiB', { directorySize: 0x7fff_ffff }],
    ['a directory past the end', { directoryOffset: 0x7fff_ffff }],
    ['zip64 that is not there', { directoryOffset: 0xffff_ffff, count: 0xffff }],
  ])('%s is BAD_ARCHIVE', (_, end) => {
    expect(codeOf(sample(), end)).toBe('BAD_ARCHIVE')
  })
})

describe('end records', () => {
  const fake = (comment = 0) => {
    const end = Buffer.alloc(22)
    end.writeUInt32LE(0x06054b50)
    end.writeUInt16LE(comment, 20)
    return end
  }

  test('one in the comment is not the end', () => {
    const comment = bytes(Buffer.alloc(1000, 'c'), fake(), Buffer.alloc(64_000, 'c'))
    expect(first(openSync(zip(sample(), { comment })))).toEqual(ramp(4))
  })

  test('one in the comment that reaches the end is no second archive in silence', () => {
    const comment = bytes(Buffer.alloc(1000, 'c'), fake(100), Buffer.alloc(100, 'c'))
    let found: unknown
    try {
      found = first(openSync(zip(sample(), { comment })))
    } catch (error) {
      found = (error as { code: string }).code
    }
    expect([ramp(4), 'BAD_ARCHIVE', 'NOT_A_CHECKPOINT']).toContainEqual(found)
  })

  test('the longest comment there is', () => {
    const comment = Buffer.alloc(65_535, 'PK\x05\x06')
    expect(first(openSync(zip(sample(), { comment })))).toEqual(ramp(4))
  })

  test('a zip64 locator that leads nowhere', () => {
    const locator = bytes(u32(0x07064b50), u32(0), u64(2n ** 63n), u32(1))
    const end = { before: locator, count: 0xffff, directoryOffset: 0xffff_ffff }
    expect(codeOf(sample(), end)).toBe('BAD_ARCHIVE')
  })
})

describe('names', () => {
  test.each<[string, Entry[], string]>([
    ['two data.pkl', [...sample(), sample()[0]!], 'BAD_ARCHIVE'],
    ['two storages of one name', [...sample(), sample()[1]!], 'BAD_ARCHIVE'],
    ['another name in the local header', changed({ localName: 'a/data/9' }), 'BAD_RECORD'],
    ['a longer name in the local header', changed({ localName: 'a/data/000' }), 'BAD_RECORD'],
    ['a storage with a null byte in its name', changed({ name: 'a/data/0\0' }), 'BAD_RECORD'],
    ['a storage above the archive', changed({ name: 'a/../data/0' }), 'BAD_RECORD'],
    ['a storage with a backslash', changed({ name: 'a\\data\\0' }), 'BAD_RECORD'],
  ])('%s', (_, entries, code) => {
    expect(codeOf(entries)).toBe(code)
  })

  test('records that lead out of the archive are only names', () => {
    const outside = { name: '../../etc/passwd', data: Buffer.from('x') }
    const source = zip([...sample(), outside, { ...outside, name: '/etc/passwd' }])
    expect(first(openSync(source))).toEqual(ramp(4))
  })
})

describe('deflated records', () => {
  const zeros = deflateRawSync(Buffer.alloc(20_000_000), { level: 9 })
  const deflated = (inflated: Uint8Array, change: Partial<Entry> = {}, index = 1) =>
    changed({ data: deflateRawSync(inflated), method: 8, size: inflated.length, ...change }, index)
  const storage = new Uint8Array(ramp(4).buffer)

  test('are read', () => {
    expect(first(openSync(zip(deflated(storage))))).toEqual(ramp(4))
    expect(first(openSync(zip(deflated(data, {}, 0))))).toEqual(ramp(4))
  })

  test.each<[string, Entry[]]>([
    ['a pickle that inflates to less than it says', deflated(data, { size: data.length + 1 }, 0)],
    ['a pickle that inflates to more than it says', deflated(data, { size: data.length - 1 }, 0)],
    ['a pickle of 20 MB that says 100 bytes', changed({ data: zeros, method: 8, size: 100 }, 0)],
    ['a pickle that says 3 GiB', deflated(data, { size: 3 * 2 ** 30 }, 0)],
    [
      'a pickle that is no deflate',
      changed({ data: Buffer.alloc(40, 0xff), method: 8, size: 40 }, 0),
    ],
    ['a storage that is cut', deflated(storage, { data: deflateRawSync(storage).subarray(0, 5) })],
    [
      'a storage that is no deflate',
      changed({ data: Buffer.alloc(40, 0xff), method: 8, size: 16 }),
    ],
  ])('%s is BAD_RECORD', (_, entries) => {
    const before = process.memoryUsage().rss
    expect(codeOf(entries)).toBe('BAD_RECORD')
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 29)
  })

  test('no more is inflated than the storage takes, whatever the record says', () => {
    const limits = { inflatedBytes: 1000 }
    const says = deflated(storage, { size: 3 * 2 ** 30 })
    expect(first(openSync(zip(says), { limits }))).toEqual(ramp(4))
    const holds = changed({ data: zeros, method: 8, size: 20_000_000 })
    expect(first(openSync(zip(holds), { limits }))).toEqual(new Float32Array(4))
  })

  test('20 MB in 20 KB are what limits.inflatedBytes allows', () => {
    const numel = 5_000_000
    const storage = { data: zeros, method: 8, size: numel * 4 }
    const entries = changed(storage)
    entries[0]!.data = pickle(tensor({ numel, sizes: [numel] }))
    const checkpoint = openSync(zip(entries), { limits: { inflatedBytes: 1_000_000 } })
    const error = refusal(() => first(checkpoint))
    expect(error).toMatchObject({ code: 'LIMIT_STORAGE', limitName: 'inflatedBytes' })
    expect(error).toMatchObject({ limit: 1_000_000, actual: 20_000_000, record: 'data/0' })
    expect(first(openSync(zip(entries)))?.length).toBe(numel)
  })

  test('a deflated pickle counts, too', () => {
    const entries = changed({ data: zeros, method: 8, size: 20_000_000 }, 0)
    const limits = { inflatedBytes: 1_000_000 }
    expect(refusal(() => openSync(zip(entries), { limits })).code).toBe('LIMIT_STORAGE')
  })
})

test('limits.records bounds the directory', () => {
  const many = Array.from({ length: 5000 }, (_, i) => ({ name: `a/${i}`, data: Buffer.alloc(0) }))
  const source = zip([...sample(), ...many])
  expect(first(openSync(source))).toEqual(ramp(4))
  const error = refusal(() => openSync(source, { limits: { records: 100 } }))
  expect(error).toMatchObject({
    code: 'LIMIT_RECORDS',
    limitName: 'records',
    limit: 100,
    actual: 5003,
  })
})
