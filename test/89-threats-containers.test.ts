/**
 * Ways to hide a pickle in what is no archive of torch: tar, arrays, what is packed; and by a name. The
 * files are made here and never loaded by Python.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import type { RuleId } from '../lib/zoo/rules'
import { scanSafetySync } from '../lib/zoo/safety/scan'
import { bytes, checkpointOf, global, op, pickle, zip } from './support/bytes'
import { temporaryFolder } from './support/samples'
import {
  archive,
  benign,
  called,
  checkFiles,
  evil,
  legacy,
  npy,
  npyOf,
  protocol4,
  rulesOf,
  safetyOf,
  system,
  tar,
} from './support/scans'

const folder = temporaryFolder('threats-containers')

describe('tar archives', () => {
  const base256 = (fill: number, last: number) =>
    Buffer.from([fill, ...Array<number>(10).fill(fill === 0xff ? 0xff : 0), last])
  checkFiles(folder, {
    'in each other': {
      data: tar([{ name: 'x', data: tar([{ name: 'y', data: evil }]) }]),
      safety: 'dangerous',
    },
    'too deep in each other': {
      data: Array.from({ length: 8 }).reduce<Buffer>(
        (inner) => tar([{ name: 'x', data: inner }]),
        evil,
      ),
      safety: 'incomplete',
    },
    'with an archive': {
      data: tar([{ name: 'x', data: checkpointOf(evil) }]),
      safety: 'dangerous',
    },
    'in an archive': {
      data: archive([{ name: 'a/x.tar', data: tar([{ name: 'y', data: evil }]) }]),
      safety: 'dangerous',
    },
    'a hard link': {
      data: tar([{ name: 'x', type: '1' }]),
      safety: 'safe',
      rules: ['safe/link'],
    },
    'a device': {
      data: tar([{ name: 'x', type: '3' }]),
      safety: 'safe',
      rules: ['safe/link'],
    },
    'a name that leads out': {
      data: tar([{ name: '../../x', data: evil }]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/outside-name'],
    },
    'a name at the root': {
      data: tar([{ name: '/etc/x', data: Buffer.from('text') }]),
      safety: 'safe',
      rules: ['safe/outside-name'],
    },
    'a long name': {
      data: tar([
        { name: '././@LongLink', type: 'L', data: Buffer.from('x'.repeat(3000)) },
        { name: 'x', data: evil },
      ]),
      safety: 'dangerous',
    },
    'a sparse member': { data: tar([{ name: 'x', type: 'S', data: evil }]), safety: 'dangerous' },
    'a size of 12 bytes': {
      data: tar([{ name: 'x', data: evil, size: base256(0x80, evil.length) }]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global'],
    },
    'a size below zero': {
      data: tar([{ name: 'x', data: evil, size: base256(0xff, 0) }]),
      safety: 'dangerous',
    },
    'a size past the end': {
      data: tar([{ name: 'x', data: Buffer.alloc(9), size: Buffer.from('77777777777\0') }]),
      safety: 'incomplete',
    },
  })
  test('that are pickles, too', () => {
    const data = tar([{ name: "cos\nsystem\n(S'echo'\ntR.", data: Buffer.from('x') }])
    expect(safetyOf(data)).toBe('dangerous')
  })
})

describe('arrays', () => {
  const objects = pickle(op.EMPTY_LIST)
  checkFiles(folder, {
    'of structures with a field of objects': {
      data: npyOf("[('a', '<f4'), ('b', '|O')]", evil),
      safety: 'dangerous',
    },
    'of objects, said in two parts': { data: npyOf("'|' 'O'", evil), safety: 'dangerous' },
    'of objects that are cut': {
      data: npy('|O', objects.subarray(0, -1)),
      safety: 'incomplete',
      rules: ['safe/broken-pickle'],
    },
    'of objects with a second pickle': {
      data: npy('|O', bytes(objects, evil)),
      safety: 'dangerous',
    },
    'that end inside their header': {
      data: npy('|O', evil).subarray(0, 60),
      safety: 'incomplete',
      rules: ['safe/unread'],
    },
    'of objects, deflated in an archive': {
      data: zip([
        {
          name: 'x.npy',
          data: deflateRawSync(npy('|O', evil)),
          method: 8,
          size: npy('|O', evil).length,
        },
      ]),
      safety: 'dangerous',
      rules: ['safe/dangerous-global'],
    },
  })
  // All of these are types of objects, read as Python reads its own literals.
  test.each(['"O"', "'=O'", "'<O8'", "'\\x7c\\x4f'"])('of objects: %s', (type) => {
    expect(safetyOf(npyOf(type, evil))).toBe('dangerous')
  })
  test('that end in their first bytes', () => {
    expect(safetyOf(npy('|O', evil).subarray(0, 9))).toBe('incomplete')
  })
  test('in a pickle, whose bytes stand between opcodes', () => {
    const wrapper = bytes(global('joblib.numpy_pickle', 'NumpyArrayWrapper'), op.EMPTY_TUPLE, 0x81)
    const made = bytes(wrapper, benign, op.BUILD)
    const raw = Buffer.alloc(40, '\x00\x01.\xff', 'latin1')
    for (const data of [protocol4(made, raw), protocol4(made, '.', raw)]) {
      const scan = scanSafetySync(data)
      expect(scan.safety).toBe('incomplete')
      expect(rulesOf(scan)).toContain('safe/unread')
    }
    expect(safetyOf(protocol4(made, raw, called))).toBe('dangerous')
    // A byte of them looks like the end.
    expect(safetyOf(protocol4(made, '.', raw, called))).toBe('dangerous')
  })
})

/** What can be unpacked is in test/91-compressed. */
describe('what is packed and cannot be unpacked', () => {
  const packed: Record<string, Buffer> = {
    bzip2: bytes('BZh91AY&SY', Buffer.alloc(30)),
    xz: Buffer.from('\xfd7zXZ\0'.padEnd(40), 'latin1'),
    Zstandard: Buffer.from('\x28\xb5\x2f\xfd'.padEnd(40), 'latin1'),
    LZ4: Buffer.from('\x04\x22\x4d\x18'.padEnd(40), 'latin1'),
    '7-Zip': Buffer.from('7z\xbc\xaf\x27\x1c'.padEnd(40), 'latin1'),
    RAR: Buffer.from('Rar!\x1a\x07'.padEnd(40), 'latin1'),
  }
  const rules: RuleId[] = ['safe/unread']
  for (const [name, data] of Object.entries(packed)) {
    checkFiles(folder, {
      [name]: { data, safety: 'incomplete', rules },
      [`${name}, in an archive`]: {
        data: archive([{ name: 'a/x', data }]),
        safety: 'incomplete',
        rules,
      },
    })
  }
})

describe('the file', () => {
  const containers: [string, Buffer][] = [
    ['a pickle', protocol4(called)],
    ['two pickles', bytes(protocol4(benign), protocol4(called))],
    ['protocol 0', bytes("cos\nsystem\n(S'echo'\ntR.")],
    ['a legacy stream', legacy(called)],
    ['an archive', checkpointOf(evil)],
    ['an array', npy('|O', evil)],
  ]
  const names = ['x', 'x.pkl', 'x.bin', 'x.pt', 'x.ckpt', 'x.dat', 'x.joblib', 'x.npy', 'x.txt']
  test.each(containers)('%s, whatever it is called', (_, data) => {
    for (const name of [...names, 'x.safetensors', 'x.png', 'x.gguf']) {
      const path = join(folder, name)
      writeFileSync(path, data)
      expect([name, scanSafetySync(path).safety]).toEqual([name, 'dangerous'])
    }
  })
  test('safetensors and a pickle at once', () => {
    // The length of the header is a string for the other reader.
    const code = bytes(
      0x55,
      7,
      Buffer.alloc(6),
      '{',
      op.POP,
      system,
      op.EMPTY_TUPLE,
      op.REDUCE,
      '.',
    )
    const scan = scanSafetySync(bytes(code, Buffer.alloc(2000, ' ')))
    expect(scan).toMatchObject({ safety: 'dangerous', content: 'safetensors' })
    expect(rulesOf(scan)).toContain('safe/two-archives')
  })
})
