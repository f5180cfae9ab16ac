/**
 * Ways to hide a pickle in an archive, or from readers that refuse it. The archives are made here and
 * never loaded by Python.
 */
import { deflateRawSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import type { RuleId } from '../lib/zoo/rules'
import { scanSafetySync } from '../lib/zoo/safety/scan'
import { zipWithChecksums } from './support/archives'
import {
  bytes,
  checkpointOf,
  type Entry,
  op,
  pickle,
  tensor,
  text,
  u32,
  u64,
  zip,
} from './support/bytes'
import { temporaryFolder } from './support/samples'
import {
  archive,
  base,
  called,
  checkFiles,
  evil,
  good,
  legacy,
  npy,
  rulesOf,
  safetyOf,
} from './support/scans'

const folder = temporaryFolder('threats-archives')

/** A copy with other bytes at a place. */
function patched(data: Buffer, at: number, value: Uint8Array): Buffer {
  const copy = Buffer.from(data)
  copy.set(value, at)
  return copy
}
const wide = (size: bigint) => bytes(1, 0, 8, 0, u64(size))
const u16 = (value: number) => Buffer.of(value & 255, value >> 8)

describe('records that some readers refuse', () => {
  const large = Buffer.alloc(300_000, 0x41)
  const deflated = (name: string, data: Uint8Array): Entry => ({
    name,
    data: deflateRawSync(data),
    method: 8,
    size: data.length,
  })
  checkFiles(folder, {
    'a checksum that is wrong': {
      data: zipWithChecksums([{ name: 'a/data.pkl', data: evil, crc: 1 }]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global'],
    },
    'a checksum that is wrong, in front of a pickle': {
      data: zipWithChecksums([
        ...base,
        { name: 'a/x', data: Buffer.from('some text'), crc: 1 },
        { name: 'a/y.pkl', data: evil },
      ]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global'],
    },
    'flag 0x2000': {
      data: zip([{ name: 'a/data.pkl', data: evil, flags: 0x2000 }]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/two-archives'],
    },
    'an encrypted record in front of a pickle': {
      data: zip([
        { name: 'a/x', data: Buffer.alloc(40, 0xaa), flags: 1 },
        { name: 'a/data.pkl', data: evil },
      ]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/two-archives', 'safe/unread'],
    },
    'a method that nobody knows in front of a pickle': {
      data: zip([
        { name: 'a/x', data: Buffer.alloc(40, 0xaa), method: 77, size: 9 },
        { name: 'a/data.pkl', data: evil },
      ]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/unread'],
    },
    'another method where the bytes are': {
      data: patched(zip([{ name: 'a/data.pkl', data: evil }]), 8, u16(8)),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/two-archives'],
    },
    'a name of 64 KiB where the bytes are': {
      data: patched(zip([{ name: 'a/data.pkl', data: evil }]), 26, u16(0xffff)),
      safety: 'incomplete',
      rules: ['safe/two-archives'],
    },
    'a field of 64 KiB where the bytes are': {
      data: patched(zip([{ name: 'a/data.pkl', data: evil }]), 28, u16(0xffff)),
      safety: 'incomplete',
      rules: ['safe/two-archives'],
    },
    'a record of almost 4 GiB': {
      data: archive([{ name: 'a/b.pkl', data: evil, stored: 0xffff_fff0 }]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/two-archives'],
    },
    'a size in 64 bits that is too short': {
      data: archive([{ name: 'a/b.pkl', data: evil, stored: 0xffff_ffff, extra: wide(1n) }]),
      safety: 'dangerous',
    },
    'a record that has no bytes by the directory': {
      data: patched(
        archive([{ name: 'a/b.pkl', data: evil }]),
        archive([{ name: 'a/b.pkl', data: evil }]).lastIndexOf('a/b.pkl') - 26,
        Buffer.alloc(8),
      ),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/hidden-bytes', 'safe/second-pickle'],
    },
    'a large deflated record that is an array of objects': {
      data: archive([deflated('a/b', npy('|O', bytes(pickle(text(large.toString())), evil)))]),
      safety: 'dangerous',
    },
  })

  // A pickle may begin with any value.
  const late = bytes(op.NONE, op.POP, text(large.toString()), op.POP, called, op.STOP)
  test('a deflated record that begins with None', () => {
    const small = bytes(op.NONE, op.POP, called, op.STOP)
    expect(safetyOf(archive([deflated('a/b', small)]))).toBe('dangerous')
    expect(safetyOf(archive([deflated('a/b.pkl', late)]))).toBe('dangerous')
  })
  test('a large deflated record that begins with None', () => {
    expect(safetyOf(archive([deflated('a/b', late)]))).toBe('dangerous')
  })
  test('a large deflated record that begins with None, in capitals', () => {
    expect(safetyOf(zip([deflated('a/DATA.PKL', late)]))).toBe('dangerous')
  })
})

describe('names of records', () => {
  const names = [
    '/etc/profile',
    'C:\\x.pkl',
    'a\\data.pkl',
    'a/../../x.pkl',
    'a/x\0.txt',
    'a/.x',
    'x',
    'a/weights.safetensors',
    'a/data/00',
    'a/data/x',
    `a/${'é'.repeat(2000)}`,
  ]
  test.each(names)('%j', (name) => {
    const scan = scanSafetySync(archive([{ name, data: evil }]))
    expect(scan.safety).toBe('dangerous')
    const row = scan.globals.find(({ verdict }) => verdict === 'dangerous')
    expect(row).toMatchObject({ name: 'os.system', record: name })
  })
  test('the number of a storage, in another folder', () => {
    expect(safetyOf(archive([{ name: 'a/other/0', data: evil }]))).toBe('dangerous')
  })
  test('the key of a storage, in another folder', () => {
    const storage = { name: 'a/data/notes.txt', data: Buffer.alloc(16, 1) }
    const entries = [{ name: 'a/data.pkl', data: pickle(tensor({ key: 'notes.txt' })) }, storage]
    expect(safetyOf(zip(entries))).toBe('safe')
    expect(safetyOf(zip([...entries, { name: 'a/notes.txt', data: evil }]))).toBe('dangerous')
  })
  test('a symbolic link is one', () => {
    const plain = archive([{ name: 'a/x', data: Buffer.from('/etc/passwd') }])
    const entry = plain.lastIndexOf('a/x') - 46
    // Made on Unix, with the mode of a link.
    const link = patched(patched(plain, entry + 5, Buffer.of(3)), entry + 40, u16(0o120_777))
    expect(rulesOf(scanSafetySync(link))).toEqual(['safe/link'])
  })
})

test.each(['../x', 'a/../../x', '/x', '\\\\host\\x', 'C:\\x', 'a\\..\\x'])(
  'a record called %s is told of',
  (name) => {
    const scan = scanSafetySync(archive([{ name, data: Buffer.from('text') }]))
    expect(rulesOf(scan)).toEqual(['safe/outside-name'])
  },
)
test.each(['a/..x', 'a/x..', 'a/.../x', 'a/c:x'])('a record called %s is not', (name) => {
  expect(rulesOf(scanSafetySync(archive([{ name, data: Buffer.from('text') }])))).toEqual([])
})

describe('archives', () => {
  const both = ['safe/dangerous-global', 'safe/two-archives'] as RuleId[]
  const start = Buffer.from('\x89PNG\r\n\x1a\n'.padEnd(600, 'x'), 'latin1')
  checkFiles(folder, {
    'behind something else': {
      data: bytes(start, checkpointOf(evil)),
      safety: 'dangerous',
      rules: [...both, 'safe/hidden-bytes'],
    },
    'behind something else, and nothing dangerous': {
      data: bytes(start, archive()),
      safety: 'incomplete',
      rules: ['safe/hidden-bytes', 'safe/two-archives'],
    },
    'in the comment of another': {
      data: zip(base, { comment: checkpointOf(evil) }),
      safety: 'dangerous',
    },
    'in the comment of another, and nothing dangerous': {
      data: zip(base, { comment: archive() }),
      safety: 'incomplete',
    },
    'an end of an archive in the comment': {
      data: zip([{ name: 'a/data.pkl', data: evil }], {
        comment: bytes(Buffer.alloc(1000, 'c'), 'PK\x05\x06', Buffer.alloc(18), Buffer.alloc(50)),
      }),
      safety: 'dangerous',
    },
    'with a legacy checkpoint in it': {
      data: zip([
        { name: 'MAR-INF/MANIFEST.json', data: Buffer.from('{}') },
        { name: 'model.pt', data: legacy(called) },
      ]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/nested-pickle'],
    },
    'with constants': {
      data: archive([{ name: 'a/constants.pkl', data: evil }]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global'],
    },
    'of Keras': {
      data: zip([
        { name: 'config.json', data: Buffer.from('{"class_name": "Lambda"}') },
        { name: 'model.weights.h5', data: Buffer.from('\x89HDF\r\n\x1a\n'.padEnd(96), 'latin1') },
      ]),
      safety: 'incomplete',
      rules: ['safe/unread'],
    },
    HDF5: {
      data: Buffer.from('\x89HDF\r\n\x1a\n'.padEnd(96), 'latin1'),
      safety: 'incomplete',
      rules: ['safe/unread'],
    },
  })

  test('of 70,000 records, the last of which counts', () => {
    const many = Array.from({ length: 70_000 }, (_, i) => ({
      name: `a/${i}`,
      data: Buffer.alloc(0),
    }))
    const of = (last: Entry) => {
      const entries = [...base, ...many, last]
      const plain = zip(entries, { count: 0xffff })
      const [size, at] = [12, 16].map((field) => plain.readUInt32LE(plain.length - 22 + field))
      const count = u64(BigInt(entries.length))
      const end64 = bytes(u32(0x06064b50), u64(44n), u16(45), u16(45), u32(0), u32(0), count)
      const rest = bytes(count, u64(BigInt(size!)), u64(BigInt(at!)))
      const locator = bytes(u32(0x07064b50), u32(0), u64(BigInt(size! + at!)), u32(1))
      return zip(entries, { count: 0xffff, before: bytes(end64, rest, locator) })
    }
    expect(safetyOf(of({ name: 'a/x.pkl', data: evil }))).toBe('dangerous')
    expect(safetyOf(of({ name: 'a/x.pkl', data: pickle(op.NONE) }))).toBe('safe')
  })

  // As some writers of large checkpoints write them.
  test('with sizes behind their bytes in 64 bits, and one of three numbers in the field for them', () => {
    const of = (data: Buffer) => {
      const sizes = u64(BigInt(data.length))
      const behind = bytes(u32(0x08074b50), u32(0), sizes, sizes)
      const second = { name: 'a/data/0', data: Buffer.alloc(16, 1) }
      const first = bytes(data, behind)
      const at = 30 + 'a/data.pkl'.length + first.length
      const made = zip([
        { name: 'a/data.pkl', data: first, flags: 8, stored: data.length },
        { ...second, offset: 0xffff_ffff, extra: wide(BigInt(at)) },
      ])
      return patched(made, 18, Buffer.alloc(8))
    }
    expect(scanSafetySync(of(good))).toMatchObject({ safety: 'safe', findings: [] })
    expect(safetyOf(of(evil))).toBe('dangerous')
  })
})
