/** Work that is bounded, and files: by path, many at a time, and what cannot be read. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { scanFiles, scanSafety, scanSafetySync } from '../lib/zoo/safety/scan'
import {
  bytes,
  checkpointOf,
  global,
  op,
  type Part,
  tenfold,
  tensor,
  text,
  u32,
  u64,
} from './support/bytes'
import { temporaryFolder } from './support/samples'
import { benign, binbytes, call, called, protocol4, rulesOf, soon } from './support/scans'

const folder = temporaryFolder('safety-files')

const PUT0 = bytes(op.BINPUT, 0)

describe('what costs much', () => {
  test('shared values', () => expect(soon(protocol4(tenfold(called, 40))).safety).toBe('dangerous'))
  test('nesting', () => {
    const deep = bytes(Buffer.alloc(200_000, op.EMPTY_LIST), Buffer.alloc(199_999, op.APPEND))
    expect(soon(protocol4(deep)).safety).toBe('safe')
  })
  test('calls that are arguments of calls', () => {
    const nets = bytes(global('my.nets', 'f'), PUT0, op.POP)
    const open = bytes(Buffer.concat(Array<Buffer>(50_000).fill(bytes(op.BINGET, 0, op.MARK))))
    const close = Buffer.concat(Array<Buffer>(50_000).fill(bytes(op.TUPLE, op.REDUCE)))
    const scan = soon(protocol4(nets, open, called, close))
    expect(scan.safety).toBe('dangerous')
    const row = scan.globals.find(({ name }) => name === 'os.system')
    expect(row?.chain.length).toBeLessThanOrEqual(33)
  })
  test('a list in itself', () => {
    const loop = bytes(
      op.EMPTY_LIST,
      PUT0,
      op.BINGET,
      0,
      op.APPEND,
      op.BINGET,
      0,
      called,
      op.APPEND,
    )
    expect(soon(protocol4(loop)).safety).toBe('dangerous')
  })
  test('marks', () =>
    expect(soon(protocol4(Buffer.alloc(200_000, op.MARK), op.NONE)).safety).toBe('safe'))
  test('memo keys', () => {
    expect(soon(protocol4(op.NONE, op.LONG_BINPUT, u32(0xffff_ffff), called)).safety).toBe(
      'dangerous',
    )
  })
  test('lengths', () => {
    for (const [code, size] of [
      [op.BINUNICODE8, u64(2n ** 63n - 1n)],
      [op.BINBYTES8, u64(2n ** 64n - 1n)],
      [op.BYTEARRAY8, u64(2n ** 40n)],
      [op.LONG4, u32(0x7fff_ffff)],
      [op.BINSTRING, u32(0xffff_ffff)],
    ] as const) {
      expect(soon(protocol4(called, code, size)).safety).toBe('dangerous')
      expect(soon(protocol4(code, size)).safety).toBe('incomplete')
    }
  })
  test('names', () => {
    const many = Array.from({ length: 20_000 }, (_, i) => bytes(global('my.nets', `N${i}`), op.POP))
    const scan = soon(protocol4(...many, called))
    expect(scan.safety).toBe('dangerous')
    expect(scan.globals.length).toBe(4096)
    expect(scan.findings.length).toBeLessThan(600)
    expect(rulesOf(scan)).toContain('safe/unread')
  })
  test('pickles one behind the other', () => {
    const scan = soon(Buffer.concat(Array<Buffer>(30_000).fill(protocol4(op.NONE))))
    expect(scan.safety).toBe('safe')
  })
  test('what could be pickles everywhere', () => {
    const scan = soon(bytes(protocol4(benign), Buffer.alloc(1 << 20, Buffer.of(0x80, 4, 0x4e))))
    expect(['safe', 'incomplete']).toContain(scan.safety)
  })
  test('calls that share one text', () => {
    const shared = bytes(text('\x80\x04N.'.padEnd(100_000, 'x')), PUT0, op.POP)
    const one = call(global('_codecs', 'encode'), bytes(op.BINGET, 0), text('latin1'))
    const scan = soon(protocol4(shared, ...Array<Part>(2000).fill(bytes(one, op.POP)), op.NONE))
    expect(scan.safety).toBe('safe')
  })
  test('limits', () => {
    const scan = scanSafetySync(protocol4(called, Buffer.alloc(20_000, op.EMPTY_LIST)), {
      limits: { nodes: 5000 },
    })
    expect(scan.safety).toBe('dangerous')
    expect(rulesOf(scan)).toContain('safe/broken-pickle')
  })
})

describe('files', () => {
  const write = (name: string, data: Uint8Array) => {
    const path = join(folder, name)
    writeFileSync(path, data)
    return path
  }
  test('are looked at off the main thread, too', async () => {
    for (const data of [protocol4(called), checkpointOf(protocol4(tensor()))]) {
      const path = write('some.pt', data)
      expect(await scanSafety(path)).toEqual(scanSafetySync(path))
      expect(await scanSafety(data, { path })).toEqual(scanSafetySync(path))
    }
  })
  test('larger than what is read at once', () => {
    const large = protocol4(binbytes(Buffer.alloc(3 << 20, 0x41)), op.POP, called)
    expect(scanSafetySync(write('large.pkl', large)).safety).toBe('dangerous')
    expect(scanSafetySync(write('large.pt', checkpointOf(large))).safety).toBe('dangerous')
  })
  test('that are no checkpoints', () => {
    for (const [name, data] of [
      ['page.txt', Buffer.from('plain text\nof several lines\n')],
      ['start.bin', Buffer.from('cmod\n\xf8\n', 'latin1')],
      ['empty.pt', Buffer.alloc(0)],
    ] as const) {
      expect(scanSafetySync(write(name, data))).toMatchObject({ safety: 'safe', findings: [] })
    }
    const compressed = scanSafetySync(
      write('some.7z', Buffer.from('7z\xbc\xaf\x27\x1c..', 'latin1')),
    )
    expect(compressed.safety).toBe('incomplete')
  })
  test('by another name than what they are', () => {
    const safetensors = bytes(u64(2n), '{}')
    for (const [name, data, isWrong] of [
      ['a.bin', protocol4(benign), false],
      ['a.pt', protocol4(benign), false],
      ['a.pkl', checkpointOf(protocol4(benign)), false],
      ['a.safetensors', safetensors, false],
      ['a.unheard', protocol4(benign), false],
      ['b.safetensors', protocol4(benign), true],
      ['c.safetensors', checkpointOf(protocol4(benign)), true],
      ['d.json', protocol4(benign), true],
      ['e.pt', safetensors, true],
      ['f.pth', Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), true],
    ] as const) {
      const scan = scanSafetySync(write(name, data))
      expect([name, rulesOf(scan).includes('safe/extension')]).toEqual([name, isWrong])
    }
  })
  test('that are not there', async () => {
    const path = join(folder, 'absent.pt')
    await expect(scanSafety(path)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(() => scanSafetySync(path)).toThrow(expect.objectContaining({ code: 'ENOENT' }))
  })
  test('many at a time, in their order', async () => {
    const paths = Array.from({ length: 300 }, (_, i) => {
      const isEvil = i % 7 === 0
      return write(`many-${i}.pt`, isEvil ? protocol4(called) : checkpointOf(protocol4(benign)))
    })
    paths.splice(150, 0, join(folder, 'absent.pt'))
    const found = []
    for await (const scan of scanFiles(paths)) found.push(scan)
    expect(found.map(({ path }) => path)).toEqual(paths)
    const { path, ...absent } = found.splice(150, 1)[0]!
    expect(absent).toMatchObject({ safety: 'incomplete', globals: [], content: '' })
    expect(absent.findings).toMatchObject([{ rule: 'whole/system' }])
    expect(absent.findings[0]!.message).toContain(path)
    for (const { path, ...scan } of found) expect(scan).toEqual(scanSafetySync(path))
  })
  test('many, until a signal says so, or nobody asks any more', async () => {
    const paths = Array.from({ length: 400 }, () => write('one.pt', protocol4(benign)))
    const control = new AbortController()
    const seen: string[] = []
    const all = async () => {
      for await (const { path } of scanFiles(paths, { signal: control.signal })) {
        seen.push(path)
        control.abort(new Error('enough'))
      }
    }
    await expect(all()).rejects.toThrow('enough')
    expect(seen.length).toBeLessThan(paths.length)
    for await (const { safety } of scanFiles(paths)) {
      expect(safety).toBe('safe')
      break
    }
    const wrong = scanFiles(['a', 1] as unknown as string[]).next()
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' })
  })
  test('until a signal says so', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(scanSafety(write('some.pt', protocol4(benign)), { signal })).rejects.toThrow(
      'enough',
    )
  })
})
