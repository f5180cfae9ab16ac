/**
 * What is compressed is looked into: alone, in each other, in archives and in pickles; whole, cut and
 * broken. `compressed` has what other tools wrote; nothing of it is ever loaded by Python.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { constants, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { openSync } from '../lib/open'
import type { Safety } from '../lib/zoo/result'
import type { RuleId } from '../lib/zoo/rules'
import { scanFiles, scanSafety, scanSafetySync } from '../lib/zoo/safety/scan'
import { verifyZoo } from '../lib/zoo/verify'
import { bytes, checkpointOf } from './support/bytes'
import { FIXTURES } from './support/golden'
import { temporaryFolder } from './support/samples'
import {
  archive,
  binbytes,
  checkFiles,
  evil,
  good,
  named,
  npy,
  protocol4,
  rulesOf,
  safetyOf,
  soon,
  tar,
} from './support/scans'

const folder = temporaryFolder('compressed')
const GOLDENS = join(FIXTURES, 'compressed')
const golden = (name: string) => readFileSync(join(GOLDENS, name))

/** Bytes that do not become smaller. */
function noise(length: number): Buffer {
  const made = Buffer.alloc(length)
  for (let i = 0, state = 1; i < length; ++i) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    made[i] = state >>> 20
  }
  return made
}

interface Row {
  file: string
  safety: Safety
  rules: RuleId[]
  note: string
}

const rows = JSON.parse(readFileSync(join(GOLDENS, 'manifest.json'), 'utf8')) as Row[]

describe('what other tools wrote', () => {
  test.each(rows.map((row) => [row.note, row] as const))('%s', (_, { file, safety, rules }) => {
    const scan = scanSafetySync(join(GOLDENS, file))
    expect({ safety: scan.safety, rules: rulesOf(scan) }).toEqual({ safety, rules })
    expect(scan.content).toBe('')
  })

  test.each(rows.map((row) => [row.note, row] as const))(
    '%s, in an archive',
    (_, { file, safety }) => {
      const data = golden(file)
      expect(safetyOf(archive([{ name: 'a/x', data }]))).toBe(safety)
      expect(safetyOf(tar([{ name: 'x', data }]))).toBe(safety)
      expect(safetyOf(gzipSync(data))).toBe(safety)
    },
  )

  test('members have names', () => {
    const { globals } = scanSafetySync(golden('solid.7z'))
    expect(globals).toMatchObject([{ name: 'os.system', record: 'c/\u00fc\u{1f642}.pkl' }])
    const [global] = scanSafetySync(
      archive([{ name: 'a/x', data: golden('copy.7z') }]),
    ).globals.filter(({ verdict }) => verdict === 'dangerous')
    expect(global?.record).toBe('a/x/evil.pkl')
  })

  test.each([
    ['ppmd.7z', 'PPMd'],
    ['bzip2.7z', 'BZip2'],
    ['arm.7z', 'BCJ (ARM)'],
    ['arm.xz', 'BCJ (ARM)'],
    ['encrypted.7z', 'it is encrypted'],
    ['encrypted-header.7z', 'it is encrypted'],
  ])('%s: why it is not read', (file, words) => {
    const scan = scanSafetySync(golden(file))
    expect(scan.findings.map(({ message }) => message).join()).toContain(words)
  })
})

describe('zlib and gzip', () => {
  const gzip = gzipSync(evil)
  const levels = [0, 1, 3, 6, 9].map((level) => deflateSync(evil, { level }))
  checkFiles(folder, {
    gzip: { data: gzip, safety: 'dangerous', rules: ['safe/dangerous-global'] },
    'three times': { data: gzipSync(gzipSync(gzip)), safety: 'dangerous' },
    'too deep': {
      data: Array.from({ length: 6 }).reduce<Buffer>((data) => gzipSync(data), evil),
      safety: 'incomplete',
      rules: ['safe/unread'],
    },
    'a second member': { data: bytes(gzipSync('text'), gzip), safety: 'safe' },
    'a pickle of two members': {
      data: bytes(gzipSync(evil.subarray(0, 9)), gzipSync(evil.subarray(9))),
      safety: 'dangerous',
    },
    'a pickle behind another': {
      data: gzipSync(bytes(protocol4(']'), evil)),
      safety: 'dangerous',
    },
    zlib: { data: deflateSync(evil), safety: 'dangerous', rules: ['safe/dangerous-global'] },
    'an archive': { data: gzipSync(checkpointOf(evil)), safety: 'dangerous' },
    'an archive behind a pickle': {
      data: gzipSync(bytes(protocol4(']'), checkpointOf(evil))),
      safety: 'dangerous',
    },
    'an array': { data: gzipSync(npy('|O', evil)), safety: 'dangerous' },
    'a tar archive': {
      data: gzipSync(tar([{ name: '../x', data: evil }])),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/outside-name'],
    },
    'a checkpoint': { data: gzipSync(archive()), safety: 'safe', rules: [] },
    text: { data: gzipSync('text'), safety: 'safe', rules: [] },
    'what is not looked into': {
      data: gzipSync('\x28\xb5\x2f\xfd'.padEnd(40)),
      safety: 'safe',
    },
    'zeros behind it': { data: bytes(gzip, Buffer.alloc(512)), safety: 'dangerous' },
    'bytes behind it': {
      data: bytes(gzipSync('text'), 'more'),
      safety: 'safe',
      rules: ['safe/hidden-bytes'],
    },
    'a pickle behind it': {
      data: bytes(gzipSync('text'), evil),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/hidden-bytes', 'safe/second-pickle'],
    },
    'a record that should be a pickle': {
      data: archive([{ name: 'a/x.pkl', data: gzip }]),
      safety: 'dangerous',
    },
    'a member of a tar archive': { data: tar([{ name: 'x', data: gzip }]), safety: 'dangerous' },
    'bytes of a pickle': {
      data: protocol4(binbytes(gzip)),
      safety: 'dangerous',
      rules: ['safe/dangerous-global', 'safe/nested-pickle'],
    },
    'bytes of a pickle, cut': {
      data: protocol4(binbytes(gzip.subarray(0, -4))),
      safety: 'dangerous',
    },
    'bytes of a pickle that only begin like it': {
      data: protocol4(binbytes(Buffer.from('789cffffffffffffffff'.repeat(9), 'hex'))),
      safety: 'safe',
      rules: [],
    },
    'bytes of a pickle that hold none': {
      data: protocol4(binbytes(deflateSync(Buffer.alloc(100, 'text')))),
      safety: 'safe',
      rules: [],
    },
  })

  test('every level of zlib', () => {
    for (const data of levels) expect(safetyOf(data)).toBe('dangerous')
  })

  test('is called what it is', () => {
    const found = (name: string, data: Buffer) => {
      writeFileSync(join(folder, name), data)
      return rulesOf(scanSafetySync(join(folder, name)))
    }
    expect(found('x.pkl', deflateSync(good))).toContain('safe/extension')
    expect(found('x.joblib', deflateSync(good))).toEqual([])
    expect(found('x.pkl.gz', gzipSync(good))).toEqual([])
  })
})

describe('broken behind the payload', () => {
  const long = bytes(evil, noise(4000))
  const flush = { finishFlush: constants.Z_SYNC_FLUSH }
  checkFiles(folder, {
    'gzip, cut': { data: gzipSync(long).subarray(0, 3000), safety: 'dangerous' },
    'gzip without an end': { data: gzipSync(evil, flush), safety: 'dangerous' },
    'zlib, then something else': {
      data: bytes(deflateSync(evil, flush), Buffer.alloc(90, 0xff)),
      safety: 'dangerous',
    },
    'gzip of harmless bytes, cut': {
      data: gzipSync(bytes(good, noise(4000))).subarray(0, 3000),
      safety: 'incomplete',
    },
    'gzip of text with a wrong checksum': {
      data: bytes(gzipSync('text').subarray(0, -8), Buffer.alloc(8)),
      safety: 'incomplete',
      rules: ['safe/unread'],
    },
    'xz, cut before its end': { data: golden('crc64.xz').subarray(0, -30), safety: 'dangerous' },
    'LZMA, cut before its end': { data: golden('alone.lzma').subarray(0, -6), safety: 'dangerous' },
    'xz of a checkpoint, cut': {
      data: golden('checkpoint.xz').subarray(0, 300),
      safety: 'incomplete',
    },
    '7-Zip whose header is gone': {
      data: golden('solid.7z').subarray(0, 300),
      safety: 'incomplete',
      rules: ['safe/unread'],
    },
  })

  test('7-Zip with any packed byte changed', () => {
    const data = Buffer.from(golden('solid.7z'))
    const verdicts = new Set<string>()
    for (let at = 32; at < 300; ++at) {
      data[at]! ^= 0x55
      const scan = scanSafetySync(data)
      verdicts.add(scan.safety)
      expect(['dangerous', 'incomplete']).toContain(scan.safety)
      expect(rulesOf(scan)).toContain('safe/unread')
      data[at]! ^= 0x55
    }
    expect(verdicts).toEqual(new Set(['dangerous', 'incomplete']))
    expect(named(scanSafetySync(data), 'dangerous')).toEqual(['os.system'])
  })
})

describe('bombs', () => {
  const zeros = gzipSync(Buffer.alloc(2 ** 26))
  const packed: [string, Buffer][] = [
    ['xz of 1 GiB', bytes(...Array.from({ length: 16 }, () => golden('zeros.xz')))],
    ['gzip of 1 GiB', bytes(...Array.from({ length: 16 }, () => zeros))],
    [
      'gzip of xz of 1 GiB',
      gzipSync(Buffer.concat(Array.from({ length: 16 }, () => golden('zeros.xz')))),
    ],
  ]
  test.each(packed)('%s', (_, data) => {
    const before = process.memoryUsage.rss()
    const scan = soon(data)
    expect(scan.safety).toBe('incomplete')
    expect(scan.findings.map(({ message }) => message).join()).toContain('more comes out')
    expect(process.memoryUsage.rss() - before).toBeLessThan(2 ** 28)
  })

  test('no more than is allowed', () => {
    const scan = scanSafetySync(gzipSync(bytes(evil, Buffer.alloc(9000))), {
      limits: { inflatedBytes: 1000 },
    })
    expect(scan.safety).toBe('dangerous')
    expect(rulesOf(scan)).toContain('safe/unread')
  })

  test('stop when they are told to', async () => {
    const path = join(folder, 'bomb.xz')
    writeFileSync(path, packed[0]![1])
    const controller = new AbortController()
    const scan = scanSafety(path, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(scan).rejects.toThrow('enough')
  })
})

test('large files are read piece by piece', () => {
  const long = bytes(evil, noise(3_000_000))
  const path = join(folder, 'large.gz')
  writeFileSync(path, gzipSync(long))
  expect(scanSafetySync(path).safety).toBe('dangerous')
  writeFileSync(path, bytes(gzipSync(long).subarray(0, 2 ** 20), Buffer.alloc(2 ** 20)))
  expect(rulesOf(scanSafetySync(path))).toContain('safe/unread')
})

describe('the rest of the library', () => {
  test('is refused by open() as before', () => {
    for (const file of ['checkpoint.xz', 'checkpoint.7z', 'checkpoint.lzma'])
      expect(() => openSync(join(GOLDENS, file))).toThrow(/compressed with .*must be decompressed/)
    const path = join(folder, 'gzip.pt')
    writeFileSync(path, gzipSync(archive()))
    expect(() => openSync(path)).toThrow(/compressed with gzip/)
  })

  test('verify says what is in it, and that it cannot be opened', async () => {
    const path = join(folder, 'verified.gz')
    writeFileSync(path, gzipSync(archive()))
    for await (const { safety, integrity, status, findings } of verifyZoo(path)) {
      expect({ safety, integrity, status }).toEqual({
        safety: 'safe',
        integrity: 'unreadable',
        status: 'error',
      })
      expect(findings.map(({ rule }) => rule)).toEqual(['whole/unreadable'])
    }
  })

  test('many at a time', async () => {
    const paths = rows.map(({ file }) => join(GOLDENS, file))
    const found: Safety[] = []
    for await (const { safety } of scanFiles(paths)) found.push(safety)
    expect(found).toEqual(rows.map(({ safety }) => safety))
  })
})
