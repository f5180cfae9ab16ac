/**
 * Pickles in archives, archives that two readers see differently, and what lies in them that no
 * record has. Made by the test and never loaded by Python.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { constants, deflateRawSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import type { RuleId } from '../lib/zoo/rules'
import { scanSafetySync } from '../lib/zoo/safety/scan'
import { bytes, checkpointOf, type Entry, op, pickle, tensor, u32, u64, zip } from './support/bytes'
import { temporaryFolder } from './support/samples'
import { archive, base, called, checkFiles, evil, good, npy, rulesOf, tar } from './support/scans'

const folder = temporaryFolder('safety-archives')

const floats = Buffer.alloc(16, 1)

describe('records', () => {
  checkFiles(folder, {
    'nothing wrong': { data: archive([]), safety: 'safe', rules: [] },
    'data.pkl': { data: checkpointOf(evil), safety: 'dangerous', rules: ['safe/dangerous-global'] },
    'another pickle': { data: archive([{ name: 'a/extra.pkl', data: evil }]), safety: 'dangerous' },
    'in capitals': { data: zip([{ name: 'a/DATA.PKL', data: evil }]), safety: 'dangerous' },
    'by content, not by name': {
      data: archive([{ name: 'a/data.txt', data: evil }]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/nested-pickle'],
    },
    'of protocol 0, called a text': {
      data: archive([{ name: 'a/notes.txt', data: Buffer.from("cos\nsystem\n(S'x'\ntR.") }]),
      safety: 'dangerous',
    },
    'outside the folder of the archive': {
      data: archive([{ name: '../b/x', data: evil }]),
      safety: 'dangerous',
    },
    'behind a broken one': {
      data: zip([
        { name: 'a/data.pkl', data: bytes(op.PROTO, 2, 0xff) },
        { name: 'a/b.pkl', data: evil },
      ]),
      safety: 'dangerous',
    },
    'a pickle that is broken': {
      data: checkpointOf(bytes(op.PROTO, 2, op.EMPTY_DICT)),
      safety: 'incomplete',
      rules: ['safe/broken-pickle'],
    },
    'bytes behind a pickle': {
      data: checkpointOf(bytes(good, 'some more')),
      safety: 'safe',
      rules: ['safe/hidden-bytes'],
    },
    'elements that look like a pickle': {
      data: zip([
        { name: 'a/data.pkl', data: good },
        { name: 'a/data/0', data: bytes(op.PROTO, 2, op.NONE, op.STOP, Buffer.alloc(12)) },
      ]),
      safety: 'safe',
      rules: [],
    },
    'a storage that no tensor uses and that is a pickle': {
      data: archive([{ name: 'a/data/1', data: evil }]),
      safety: 'dangerous',
    },
    'a storage of a class that is none': {
      data: zip([
        { name: 'a/data.pkl', data: pickle(tensor({ type: 'FakeStorage' })) },
        { name: 'a/data/0', data: evil },
      ]),
      safety: 'dangerous',
    },
    'an archive': {
      data: archive([{ name: 'a/model.zip', data: checkpointOf(evil) }]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/nested-archive'],
    },
    'an archive of nothing dangerous': {
      data: archive([{ name: 'a/model.zip', data: archive([]) }]),
      safety: 'safe',
      rules: ['safe/nested-archive'],
    },
    'archives in archives': {
      data: Array.from({ length: 8 }).reduce<Buffer>(
        (inner) => zip([{ name: 'inner.zip', data: inner }]),
        checkpointOf(evil),
      ),
      safety: 'incomplete',
    },
    code: {
      data: archive([{ name: 'a/code/net.py', data: Buffer.from('x = 1\n') }]),
      safety: 'safe',
      rules: ['safe/code'],
    },
    'another method of compression': {
      data: archive([{ name: 'a/x', data: Buffer.from('abcd'), method: 12, size: 9 }]),
      safety: 'incomplete',
      rules: ['safe/unread'],
    },
  })

  test('findings say which', () => {
    const scan = scanSafetySync(
      archive([{ name: 'a/in.zip', data: zip([{ name: 'b/c.pkl', data: evil }]) }]),
    )
    expect(scan.globals.find(({ verdict }) => verdict === 'dangerous')).toMatchObject({
      name: 'os.system',
      record: 'a/in.zip/b/c.pkl',
      offset: 2,
    })
  })
})

describe('deflated records', () => {
  const deflated = (name: string, data: Uint8Array, size = data.length): Entry => ({
    name,
    data: deflateRawSync(data),
    method: 8,
    size,
  })
  const large = pickle(0x42, u32(600_000), Buffer.alloc(600_000), op.POP, called)
  checkFiles(folder, {
    'data.pkl': { data: zip([deflated('a/data.pkl', evil)]), safety: 'dangerous' },
    'data.pkl of nothing dangerous': {
      data: zip([deflated('a/data.pkl', good), { name: 'a/data/0', data: floats }]),
      safety: 'safe',
      rules: [],
    },
    'another record': { data: archive([deflated('a/b.txt', evil)]), safety: 'dangerous' },
    'a large one': { data: archive([deflated('a/b.txt', large)]), safety: 'dangerous' },
    'one of an archive inside an archive': {
      data: archive([{ name: 'a/in.zip', data: zip([deflated('b/c.pkl', evil)]) }]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/nested-archive'],
    },
    'an archive': {
      data: archive([deflated('a/in.zip', zip([deflated('b/c.pkl', evil)]))]),
      safety: 'dangerous',
    },
    'a text': {
      data: archive([deflated('a/b.txt', Buffer.from('some text'))]),
      safety: 'safe',
      rules: [],
    },
    'a damaged one': {
      data: archive([{ name: 'a/b.pkl', data: Buffer.alloc(40, 0xff), method: 8, size: 100 }]),
      safety: 'incomplete',
      rules: ['safe/unread'],
    },
    'one that is longer than it says': {
      data: archive([deflated('a/b.pkl', evil, evil.length - 1)]),
      safety: 'dangerous',
      rules: ['safe/broken-pickle', 'safe/dangerous-global', 'safe/unread'],
    },
    'one that breaks behind its pickle': {
      data: archive([
        {
          name: 'a/b.pkl',
          data: Buffer.concat([
            deflateRawSync(evil, { finishFlush: constants.Z_SYNC_FLUSH }),
            Buffer.alloc(9, 0xff),
          ]),
          method: 8,
          size: evil.length + 100,
        },
      ]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/unread'],
    },
    'one that says more than it can be': {
      data: archive([deflated('a/b.pkl', Buffer.alloc(100), 2 ** 31)]),
      safety: 'incomplete',
    },
  })
  // Random bytes that can be compressed, so that all kinds of blocks and codes come up.
  test('of every kind are inflated as zlib does', () => {
    let state = 1
    const random = (limit: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return (state >>> 8) % limit
    }
    const strategies = [
      constants.Z_DEFAULT_STRATEGY,
      constants.Z_HUFFMAN_ONLY,
      constants.Z_RLE,
      constants.Z_FIXED,
      constants.Z_FILTERED,
    ]
    for (let round = 0; round < 200; ++round) {
      const letters = 1 + random(256)
      const filler = Buffer.from(Array.from({ length: random(3000) }, () => random(letters)))
      const again = Buffer.concat(Array.from({ length: 1 + random(9) }, () => filler))
      const data = pickle(0x42, u32(again.length), again, op.POP, called)
      const strategy = strategies[round % strategies.length]!
      const level = round % 10
      const stored = deflateRawSync(data, { level, strategy, memLevel: 1 + (round % 9) })
      const entry = { name: 'a/b.pkl', data: stored, method: 8, size: data.length }
      const whole = scanSafetySync(archive([entry]))
      expect([round, whole.safety, rulesOf(whole)]).toEqual([
        round,
        'dangerous',
        ['safe/dangerous-global'],
      ])
      // Of any other length and any beginning it is said, whatever comes out.
      for (const size of [data.length - 1, data.length + 1]) {
        const scan = scanSafetySync(archive([{ ...entry, size }]))
        expect([round, size, rulesOf(scan).includes('safe/unread')]).toEqual([round, size, true])
      }
      const cut = { ...entry, data: stored.subarray(0, random(stored.length)) }
      const rules = rulesOf(scanSafetySync(archive([cut])))
      expect([round, rules.includes('safe/unread')]).toEqual([round, true])
    }
  })
  test('up to a limit', () => {
    const data = archive([deflated('a/b.pkl', Buffer.concat([evil, Buffer.alloc(100_000)]))])
    expect(scanSafetySync(data).safety).toBe('dangerous')
    const scan = scanSafetySync(data, { limits: { inflatedBytes: 1000 } })
    expect(scan.safety).toBe('incomplete')
    expect(rulesOf(scan)).toEqual(['safe/unread'])
  })
})

describe('archives that two readers see differently', () => {
  const twice: Entry[] = [
    { name: 'a/data.pkl', data: good },
    { name: 'a/data.pkl', data: evil },
  ]
  const two = ['safe/two-archives'] as RuleId[]
  const both = ['safe/dangerous-global', 'safe/two-archives'] as RuleId[]
  const flagged = (flags: number, data: Uint8Array = evil) =>
    zip([{ name: 'a/data.pkl', data, flags }])
  checkFiles(folder, {
    'a name twice': { data: zip(twice), safety: 'dangerous', rules: both },
    'a name twice, the other way': { data: zip([...twice].reverse()), safety: 'dangerous' },
    'another name where the bytes are': {
      data: zip([{ name: 'a/data.pkl', data: evil, localName: 'a/datap.kl' }]),
      safety: 'dangerous',
      rules: both,
    },
    'another name, and nothing dangerous': {
      data: zip([{ name: 'a/data.pkl', data: pickle(op.NONE), localName: 'a/data.txt' }]),
      safety: 'incomplete',
      rules: two,
    },
    'bytes that two records share': {
      data: zip([
        { name: 'a/data.pkl', data: evil },
        { name: 'a/b.pkl', data: evil, offset: 0, isGhost: true },
      ]),
      safety: 'dangerous',
    },
    'more records than are counted': {
      data: archive([{ name: 'a/b.pkl', data: evil }], { count: 2 }),
      safety: 'dangerous',
    },
    'fewer records than are counted': { data: archive([], { count: 3 }), safety: 'incomplete' },
    'flag 0x1': { data: flagged(0x1), safety: 'dangerous', rules: both },
    'flag 0x20': { data: flagged(0x20), safety: 'dangerous', rules: both },
    'flag 0x40': { data: flagged(0x40), safety: 'dangerous', rules: both },
    'flag 0x1 with nothing to read': {
      data: flagged(0x1, Buffer.alloc(40, 0xaa)),
      safety: 'incomplete',
      rules: ['safe/two-archives', 'safe/unread'],
    },
    'one archive behind the other': {
      data: bytes(checkpointOf(evil), archive([])),
      safety: 'dangerous',
      rules: both,
    },
    'one archive behind the other, the other way': {
      data: bytes(archive([]), checkpointOf(evil)),
      safety: 'dangerous',
    },
    'a pickle in front of an archive': {
      data: bytes(evil, archive([])),
      safety: 'dangerous',
    },
    'an archive behind a pickle': {
      data: bytes(pickle(op.NONE), checkpointOf(evil)),
      safety: 'dangerous',
    },
    'an archive behind a pickle, and nothing dangerous': {
      data: bytes(pickle(op.NONE), archive([])),
      safety: 'incomplete',
    },
    'a record that is not in the directory': {
      data: hidden(),
      safety: 'dangerous',
    },
    'a record past the end': {
      data: archive([{ name: 'a/b.pkl', data: evil, offset: 0x7fff_fff0 }]),
      safety: 'dangerous',
    },
    'a pickle between two records': {
      data: between(evil),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/hidden-bytes', 'safe/second-pickle'],
    },
    'bytes between two records': {
      data: between(Buffer.alloc(64, 7)),
      safety: 'safe',
      rules: ['safe/hidden-bytes'],
    },
    'zeros between two records': { data: between(Buffer.alloc(64)), safety: 'safe', rules: [] },
    'a comment': {
      data: archive([], { comment: Buffer.from('written by a test') }),
      safety: 'safe',
      rules: ['safe/hidden-bytes'],
    },
    'a pickle in the comment': { data: archive([], { comment: evil }), safety: 'dangerous' },
    'a pickle behind the archive': { data: bytes(archive([]), evil), safety: 'dangerous' },
    'an end that is missing': { data: archive([]).subarray(0, -30), safety: 'incomplete' },
    'an end that is missing, behind something dangerous': {
      data: archive([{ name: 'a/b.pkl', data: evil }]).subarray(0, -30),
      safety: 'dangerous',
    },
  })

  /** `filler` behind the first record, which the directory does not know of. */
  function between(filler: Uint8Array): Buffer {
    const plain = zip(base)
    const at = 30 + base[0]!.name.length + good.length
    const second = 30 + base[1]!.name.length + floats.length
    const [first, rest] = [plain.subarray(0, at), Buffer.from(plain.subarray(at))]
    // The second entry of the directory, and the end record, move on by the filler.
    const entry = second + 46 + base[0]!.name.length
    rest.writeUInt32LE(at + filler.length, entry + 42)
    rest.writeUInt32LE(at + second + filler.length, rest.length - 22 + 16)
    return bytes(first, filler, rest)
  }
  function hidden(): Buffer {
    const record = zip([{ name: 'a/x.pkl', data: evil }]).subarray(0, 30 + 7 + evil.length)
    return between(record)
  }
})

describe('other containers', () => {
  checkFiles(folder, {
    tar: { data: tar([{ name: 'pickle', data: evil }]), safety: 'dangerous' },
    'tar, a later member': {
      data: tar([
        { name: 'sys_info', data: pickle(op.NONE) },
        { name: 'x', data: evil },
      ]),
      safety: 'dangerous',
    },
    'tar, a link': {
      data: tar([
        { name: 'pickle', data: pickle(op.NONE) },
        { name: 'storages', type: '2' },
      ]),
      safety: 'safe',
      rules: ['safe/link'],
    },
    'tar that is cut': {
      data: tar([{ name: 'x', data: evil }]).subarray(0, 520),
      safety: 'incomplete',
    },
    'npy of numbers': { data: npy('<f4', evil), safety: 'safe', rules: [] },
    'npy of objects': { data: npy('|O', evil), safety: 'dangerous' },
    'npz of objects': {
      data: zip([{ name: 'x.npy', data: npy('|O', evil) }]),
      safety: 'dangerous',
    },
    'npz of numbers': {
      data: zip([{ name: 'x.npy', data: npy('<f4', u32(0)) }]),
      safety: 'safe',
      rules: [],
    },
    'npy with a header of any length': {
      data: bytes(Buffer.from('\x93NUMPY\x02\x00', 'latin1'), u32(0xffff_ffff), '{}'),
      safety: 'incomplete',
    },
    safetensors: { data: bytes(u64(2n), '{}'), safety: 'safe', rules: [] },
    gzip: {
      data: bytes(0x1f, 0x8b, 8, Buffer.alloc(20)),
      safety: 'incomplete',
      rules: ['safe/unread'],
    },
  })

  test('a series of archives, as distributed checkpoints have them', () => {
    const path = join(folder, '__0_0.distcp')
    writeFileSync(path, bytes(archive([]), archive([])))
    expect(scanSafetySync(path)).toMatchObject({ safety: 'safe', findings: [] })
    writeFileSync(path, bytes(archive([]), checkpointOf(evil)))
    expect(scanSafetySync(path).safety).toBe('dangerous')
    writeFileSync(path, bytes(archive([]), evil))
    expect(scanSafetySync(path).safety).toBe('dangerous')
    writeFileSync(path, bytes(archive([]), archive([]).subarray(0, -9)))
    expect(scanSafetySync(path).safety).toBe('incomplete')
  })
})
