/** Errors: every code that can come about, with its class, its place, and a sentence that helps. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { CODES } from '../lib/errors'
import {
  CheckpointError,
  type ErrorCode,
  FormatError,
  isCheckpointError,
  LimitError,
  openSync,
  RemoteError,
  StateError,
  UnsafeError,
  UnsupportedError,
} from '../lib/index'
import {
  bytes,
  checkpointOf,
  global,
  op,
  type Part,
  pickle,
  sampleEntries,
  tenfold,
  tensor,
  text,
  untyped,
  zip,
} from './support/bytes'
import { FIXTURES, readManifest } from './support/golden'
import { refusal, temporaryFolder, tensorOf, writeSample } from './support/samples'

const folder = temporaryFolder('errors')
const CLASSES = {
  Format: FormatError,
  Unsupported: UnsupportedError,
  Unsafe: UnsafeError,
  Limit: LimitError,
  State: StateError,
  Remote: RemoteError,
}

const golden = (name: string) => openSync(join(FIXTURES, name))
const open = (...parts: Part[]) => openSync(checkpointOf(pickle(...parts)))
const limited = (limits: Record<string, number>, ...parts: Part[]) =>
  openSync(checkpointOf(pickle(...parts)), { limits })
const many = (part: number) => Buffer.alloc(20_000, part)

/** How each code comes about. */
const CASES: Partial<Record<ErrorCode, () => unknown>> = {
  NOT_A_CHECKPOINT: () => golden('crafted/foreign-text.pt'),
  TRUNCATED: () => golden('crafted/broken-truncated.pt'),
  BAD_ARCHIVE: () => golden('crafted/broken-duplicate.pt'),
  BAD_RECORD: () => golden('crafted/broken-byteorder.pt'),
  BAD_PICKLE: () => golden('crafted/broken-pickle-memo.pt'),
  BAD_TENSOR: () => golden('crafted/broken-extent.pt'),
  CHECKSUM_MISMATCH: () => {
    const checkpoint = checkpointOf(pickle(op.NONE))
    // The last byte of the directory's CRC-32 of the first record.
    checkpoint[checkpoint.indexOf('PK\x01\x02', 'latin1') + 19]! ^= 1
    return openSync(checkpoint, { verify: true })
  },
  UNSUPPORTED_DTYPE: () => {
    const source = checkpointOf(pickle(untyped('complex64', 16, [2])))
    return tensorOf(openSync(source), '').toFloat32()
  },
  UNSUPPORTED_LAYOUT: () => tensorOf(golden('torch-2.13/meta.pt'), 'meta').data,
  UNSUPPORTED_OPCODE: () => open(0x97),
  UNSUPPORTED_COMPRESSION: () => golden('crafted/broken-bzip2.pt'),
  UNSUPPORTED_VERSION: () => golden('crafted/broken-version-11.pt'),
  UNSUPPORTED_FORMAT: () => openSync(Buffer.from('\x20\0\0\0PTMF'.padEnd(64, '\0'), 'latin1')),
  UNSAFE_GLOBAL: () =>
    openSync(checkpointOf(pickle(global('os', 'system'))), { globals: 'strict' }),
  LIMIT_OPCODES: () => limited({ opcodes: 10 }, many(op.NONE)),
  LIMIT_NODES: () => limited({ nodes: 10 }, many(op.EMPTY_LIST)),
  LIMIT_MEMO: () =>
    limited({ memo: 10 }, ...Array.from({ length: 9000 }, (_, i) => `Np${i}\n`), op.NONE),
  LIMIT_STRING: () => limited({ string: 3 }, text('four')),
  LIMIT_RECORDS: () => limited({ records: 1 }, op.NONE),
  LIMIT_STORAGE: () => tensorOf(golden('crafted/expanded-huge.pt'), 'weight').data,
  LIMIT_NAMES: () => openSync(join(FIXTURES, 'torch-2.13/tied.pt'), { limits: { names: 1 } }),
  LIMIT_WORK: () => open(tenfold(tensor(), 40)),
  BAD_INDEX: () => {
    const path = join(folder, 'traversal.index.json')
    writeFileSync(path, JSON.stringify({ weight_map: { a: '../a.bin' } }))
    return openSync(path)
  },
  MISSING_SHARD: () => openSync([join(folder, 'nothing.bin')]),
  CLOSED: () => {
    const checkpoint = golden('torch-2.13/tied.pt')
    checkpoint.close()
    return checkpoint.tensors
  },
  FILE_CHANGED: () => {
    const path = writeSample(join(folder, 'changed.pth'))
    const checkpoint = openSync(path)
    truncateSync(path, 50)
    return tensorOf(checkpoint, 'weight').data
  },
  NO_SUCH_TENSOR: () => golden('torch-2.13/tied.pt').stateDict({ from: 'nothing' }),
}

describe.each(Object.entries(CASES))('%s', (code, use) => {
  test('has the shape of its class', () => {
    const error = refusal(use)
    const Class = CLASSES[CODES[code as ErrorCode]]
    expect(error).toBeInstanceOf(Class)
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error).toMatchObject({ code, name: Class.name })
    expect(String(error)).toBe(`${Class.name}: ${error.message}`)
    expect(error.stack).toContain('40-errors.test.ts')
    expect(isCheckpointError(error, code as ErrorCode)).toBe(true)
    expect(isCheckpointError(error, code === 'CLOSED' ? 'TRUNCATED' : 'CLOSED')).toBe(false)
  })

  test('is one sentence that ends with the code and says what it knows', () => {
    const error = refusal(use)
    expect(error.message).toMatch(/^[a-z_']/)
    expect(error.message).toMatch(new RegExp(`[^.] \\(${code}\\)$`))
    for (const part of [error.path, error.record]) {
      if (part !== undefined) expect(error.message).toContain(`'${part}'`)
    }
    if (error.offset !== undefined) expect(error.message).toContain(`at byte ${error.offset}`)
    for (const member of ['path', 'record', 'offset', 'feature', 'global']) {
      const isThere = (error as unknown as Record<string, unknown>)[member] !== undefined
      expect({ member, isOwn: Object.hasOwn(error, member) }).toEqual({ member, isOwn: isThere })
    }
    if (error instanceof LimitError) {
      expect(error.message).toContain(`limits.${error.limitName}`)
      expect(error.actual).toBeGreaterThan(error.limit)
    }
    if (error instanceof UnsupportedError) expect(error.feature?.length).toBeGreaterThan(0)
  })
})

test('the other codes come about elsewhere: runtimes, formats that are not read yet, servers', () => {
  const others = Object.keys(CODES).filter((code) => !(code in CASES))
  expect(others).toEqual([
    'UNSUPPORTED_BYTE_ORDER',
    'UNSUPPORTED_RUNTIME',
    'NOT_LOADED',
    'REMOTE_REFUSED',
    'REMOTE_FAILED',
    'REMOTE_UNSUITED',
  ])
})

test('every golden that is refused says where, in the file that was asked for', () => {
  const rows = readManifest('crafted').filter((row) => row.error !== undefined)
  expect(rows.length).toBeGreaterThan(50)
  for (const { file, error: code } of rows) {
    const path = join(FIXTURES, 'crafted', file)
    const error = refusal(() => openSync(path))
    expect(error).toMatchObject({ code, path })
    const unnamed = refusal(() => openSync(readFileSync(path)))
    expect(unnamed.code).toBe(code)
    expect([unnamed.path, unnamed.record, unnamed.offset]).toEqual([
      undefined,
      error.record,
      error.offset,
    ])
  }
})

describe('files that are something else', () => {
  const page = '<!DOCTYPE html><html><head><title>Sign in</title></head></html>'
  const lfs = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 44\n'
  test.each<[string, Uint8Array, RegExp]>([
    ['a Git LFS pointer', Buffer.from(lfs), /Git LFS pointer.*git lfs pull/],
    ['a web page', Buffer.from(page), /HTML page.*download/],
    ['gzip', gzipSync(checkpointOf(pickle(op.NONE))), /gzip.*decompressed first/],
    ['GGUF', Buffer.from('GGUF\x03\0\0\0\0\0\0\0\0\0\0\0'), /GGUF file/],
    ['nothing', Buffer.alloc(0), /empty file/],
    ['zeros', Buffer.alloc(5000), /zero bytes/],
    ['an empty archive', zip([]), /empty zip archive/],
    ['another archive', zip([{ name: 'x.txt', data: Buffer.from('x') }]), /no data\.pkl.*'x\.txt'/],
    ['a save that was aborted', zip(sampleEntries(pickle()).slice(1)), /save that was aborted/],
    ['JSON', Buffer.from('{"error": "not found"}'), /JSON document/],
  ])('%s', (_, source, message) => {
    const path = join(folder, 'something-else.pth')
    writeFileSync(path, source)
    for (const from of [source, path]) {
      const error = refusal(() => openSync(from))
      expect(error).toMatchObject({ name: 'FormatError', code: 'NOT_A_CHECKPOINT' })
      expect(error.message).toMatch(message)
    }
  })

  test('an archive cut short says so', () => {
    const whole = readFileSync(writeSample(join(folder, 'whole.pth')))
    for (const length of [whole.length - 1, whole.length - 30, 200, 64]) {
      const error = refusal(() => openSync(whole.subarray(0, length)))
      expect(error.code).toBe('TRUNCATED')
      expect(error.message).toContain(`ends after ${length} bytes`)
      expect(error.message).toContain('incomplete download')
    }
  })
})

describe('isCheckpointError', () => {
  const error = refusal(() => golden('crafted/foreign-text.pt'))

  test('narrows to the class of the code', () => {
    const limit: unknown = refusal(CASES.LIMIT_NAMES!)
    const found = isCheckpointError(limit, 'LIMIT_NAMES') ? limit.limitName : undefined
    expect(found).toBe('names')
    const unsafe: unknown = refusal(CASES.UNSAFE_GLOBAL!)
    expect(isCheckpointError(unsafe, 'UNSAFE_GLOBAL') ? unsafe.global : undefined).toBe('os.system')
  })

  test('knows the errors of other copies of the package and of other realms', () => {
    const brand = Object.getOwnPropertySymbols(CheckpointError.prototype).find(
      (symbol) => Symbol.keyFor(symbol) === 'torchmap.CheckpointError',
    )
    expect(brand).toBeDefined()
    const foreign = runInNewContext(
      'Object.assign(new Error("x"), { code: "TRUNCATED", [Symbol.for("torchmap.CheckpointError")]: true })',
    ) as unknown
    expect(foreign).not.toBeInstanceOf(CheckpointError)
    expect(isCheckpointError(foreign)).toBe(true)
    expect(isCheckpointError(foreign, 'TRUNCATED')).toBe(true)
    expect(isCheckpointError(foreign, 'CLOSED')).toBe(false)
  })

  test.each<[unknown]>([
    [undefined],
    [null],
    ['NOT_A_CHECKPOINT'],
    [3],
    [() => error],
    [new Error('x')],
    [{ code: 'TRUNCATED' }],
    [Object.assign(new Error('x'), { code: 'NOT_A_CHECKPOINT' })],
    [structuredClone(error)],
  ])('%p is none', (value) => {
    expect(isCheckpointError(value)).toBe(false)
    expect(isCheckpointError(value, 'NOT_A_CHECKPOINT')).toBe(false)
  })
})

test('a failure keeps its cause', () => {
  const broken = sampleEntries(pickle(op.NONE)).map((entry, i) =>
    i === 0 ? { ...entry, data: bytes(0xff, 0xff, 0xff), method: 8, size: 3 } : entry,
  )
  const error = refusal(() => openSync(zip(broken)))
  expect(error).toMatchObject({ code: 'BAD_RECORD', record: 'a/data.pkl' })
  expect(error.cause).toBeInstanceOf(Error)
})
