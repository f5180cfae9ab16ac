/** Opening: every form of source, at once and in the background. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, open, openSync, type Source } from '../lib/index'
import { inProcess } from './support/child'
import { ramp, rejection, temporaryFolder, tensorOf, writeSample } from './support/samples'

const folder = temporaryFolder('open')
const path = writeSample(join(folder, 'sample.pth'))
const bytes = readFileSync(path)

const NAMES = ['weight', 'tied', 'column', 'other']

/** What must be true of the sample, however it was opened. */
function checkSample(checkpoint: Checkpoint): void {
  expect(checkpoint.format).toBe('zip')
  expect(checkpoint.size).toBe(bytes.length)
  expect([...checkpoint.tensors.keys()]).toEqual(NAMES)
  expect(tensorOf(checkpoint, 'weight').data).toEqual(ramp(6))
  expect(tensorOf(checkpoint, 'column').data).toEqual(Float32Array.of(0, 3))
  expect(tensorOf(checkpoint, 'other').data).toEqual(ramp(4, 100))
  checkpoint.close()
}

/** Both ways, which must not differ. */
async function both(source: Source, options = {}): Promise<void> {
  checkSample(openSync(source, options))
  checkSample(await open(source, options))
}

function inside(buffer: ArrayBufferLike, offset: number): Uint8Array {
  const view = new Uint8Array(buffer, offset, bytes.length)
  view.set(bytes)
  return view
}

describe('paths', () => {
  test('absolute, relative, as URL and as text of a URL', async () => {
    await both(path)
    await both(relative(process.cwd(), path))
    await both(pathToFileURL(path))
    await both(pathToFileURL(path).href)
  })

  test('with spaces, per cents, quotes, line ends and letters outside ASCII', async () => {
    for (const name of ['a b%20c#d?.pth', 'it\'s "it"', 'ünï-\u{1f525}-文字.pth', 'two\nlines']) {
      const odd = writeSample(join(folder, name))
      await both(odd)
      await both(pathToFileURL(odd))
      const checkpoint = openSync(odd)
      expect(checkpoint.path).toBe(odd)
      checkpoint.close()
    }
  })

  test('through links, without an extension, with a wrong one', async () => {
    symlinkSync(path, join(folder, 'link'))
    await both(join(folder, 'link'))
    await both(writeSample(join(folder, 'bare')))
    await both(writeSample(join(folder, 'picture.png')))
  })

  test('a URL of another realm', async () => {
    const foreign = runInNewContext('({ href, protocol, hostname, pathname, search, hash })', {
      ...Object.fromEntries(
        ['href', 'protocol', 'hostname', 'pathname', 'search', 'hash'].map((name) => [
          name,
          pathToFileURL(path)[name as 'href'],
        ]),
      ),
    }) as URL
    await both(foreign)
  })

  test('what describes the file', async () => {
    for (const checkpoint of [openSync(path), await open(path)]) {
      expect(checkpoint).toMatchObject({ path, isMapped: true, byteOrder: 'little', skipped: [] })
      expect(checkpoint.identity).toMatchObject({ size: BigInt(bytes.length) })
      expect(Object.isFrozen(checkpoint.identity)).toBe(true)
      checkpoint.close()
    }
  })
})

describe('bytes', () => {
  test('a Uint8Array, a Buffer', async () => {
    await both(new Uint8Array(bytes))
    await both(Buffer.from(bytes))
  })

  test('at any place of a buffer: the result is the same', async () => {
    for (let offset = 0; offset < 9; ++offset) {
      await both(inside(new ArrayBuffer(bytes.length + 20), offset))
    }
  })

  test('views lie in them where elements can begin', () => {
    for (const offset of [0, 1, 4]) {
      const source = inside(new ArrayBuffer(bytes.length + 20), offset)
      const checkpoint = openSync(source)
      const weight = tensorOf(checkpoint, 'weight')
      expect(weight.isZeroCopy).toBe(offset % 4 === 0)
      expect(weight.data.buffer === source.buffer).toBe(offset % 4 === 0)
      expect(tensorOf(checkpoint, 'tied').data.buffer).toBe(weight.data.buffer)
      expect(checkpoint).toMatchObject({ path: undefined, identity: undefined, isMapped: false })
      checkpoint.close()
    }
  })

  test('over shared memory', async () => {
    await both(inside(new SharedArrayBuffer(bytes.length), 0))
    await both(inside(new SharedArrayBuffer(bytes.length + 3), 3))
    const source = inside(new SharedArrayBuffer(bytes.length), 0)
    const checkpoint = openSync(source)
    expect(tensorOf(checkpoint, 'weight').data.buffer).toBe(source.buffer)
    checkpoint.close()
  })

  test('of another realm', async () => {
    const foreign = runInNewContext('new Uint8Array(length)', {
      length: bytes.length,
    }) as Uint8Array
    foreign.set(bytes)
    await both(foreign)
  })

  test('none at all', async () => {
    const wanted = { name: 'FormatError', code: 'NOT_A_CHECKPOINT' }
    expect(() => openSync(new Uint8Array(0))).toThrow(expect.objectContaining(wanted))
    expect(await rejection(open(new Uint8Array(0)))).toMatchObject(wanted)
    const detached = new Uint8Array(8)
    structuredClone(detached.buffer, { transfer: [detached.buffer] })
    expect(await rejection(open(detached))).toMatchObject(wanted)
  })
})

describe('what the system refuses', () => {
  writeFileSync(join(folder, 'file'), '')
  symlinkSync('loop', join(folder, 'loop'))
  mkdirSync(join(folder, 'folder'))

  test.each([
    ['nothing', 'ENOENT', 'open'],
    ['file/inside', 'ENOTDIR', 'open'],
    ['loop', 'ELOOP', 'open'],
    ['x'.repeat(300), 'ENAMETOOLONG', 'open'],
  ])('%s is %s, in the shape of Node', async (name, code, syscall) => {
    const missing = join(folder, name)
    for (const mmap of [true, false]) {
      const error = await rejection(open(missing, { mmap }))
      expect(error).toMatchObject({ code, syscall, path: missing, errno: expect.any(Number) })
      expect((error as NodeJS.ErrnoException).errno).toBeLessThan(0)
      expect(error.message).toMatch(new RegExp(`^${code}: [a-z ]+, ${syscall} '`))
      expect(() => openSync(missing, { mmap })).toThrow(error.message)
    }
  })

  test('the message is the one of node:fs', async () => {
    const missing = join(folder, 'nothing')
    let message = ''
    try {
      readFileSync(missing)
    } catch (error) {
      message = (error as Error).message
    }
    expect((await rejection(open(missing))).message).toBe(message)
  })

  test('a pipe and a device are refused without waiting for their bytes', () => {
    execFileSync('mkfifo', [join(folder, 'pipe')])
    const ending = inProcess(
      async ({ open, openSync }, paths) => {
        const codes: unknown[] = []
        for (const path of paths) {
          for (const mmap of [true, false]) {
            const code = await open(path, { mmap }).catch((error: { code: string }) => error.code)
            let sync = 'opened'
            try {
              openSync(path, { mmap })
            } catch (error) {
              sync = (error as { code: string }).code
            }
            codes.push(code, sync)
          }
        }
        return codes
      },
      [[join(folder, 'pipe'), '/dev/zero']],
    )
    expect(ending.how).toBe(0)
    expect(ending.result).toEqual(Array(8).fill('EINVAL'))
  })
})

test('several at once, of one file and of many', async () => {
  const paths = Array.from({ length: 40 }, (_, i) =>
    i % 2 === 0 ? path : writeSample(join(folder, `many-${i}.pth`), i),
  )
  const checkpoints = await Promise.all(paths.map((source) => open(source)))
  for (const [i, checkpoint] of checkpoints.entries()) {
    expect(tensorOf(checkpoint, 'weight').data).toEqual(ramp(6, i % 2 === 0 ? 0 : i))
    checkpoint.close()
  }
})

test('paths are taken when open() is called', async () => {
  const before = process.cwd()
  const promise = open(path)
  process.chdir(folder)
  try {
    checkSample(await promise)
    await both('sample.pth')
  } finally {
    process.chdir(before)
  }
})
