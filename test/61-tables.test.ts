/** The tables of this side against those of the core, which are written twice on purpose. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { binding } from '../lib/binding'
import { DTYPES } from '../lib/dtype'
import {
  CheckpointError,
  CODES,
  type ErrorCode,
  errorFrom,
  FormatError,
  isCheckpointError,
  LimitError,
  RemoteError,
  StateError,
  UnsafeError,
  UnsupportedError,
} from '../lib/errors'
import { LIMITS } from '../lib/limits'
import { LAYOUTS, PART_ROLES, QSCHEMES } from '../lib/tables'

/** The arguments of each `MACRO(...)` of a table of the core. */
function rowsOf(file: string, macro: string): string[][] {
  const text = readFileSync(join(__dirname, '../native/core', file), 'utf8')
  const rows = text.matchAll(new RegExp(`^${macro}\\((.*)\\)$`, 'gm'))
  return [...rows].map(([, row = '']) => row.split(', ').map((cell) => cell.replaceAll('"', '')))
}

const core = binding.tables()

test('dtypes, in order', () => {
  expect(DTYPES.map(({ name }) => name)).toEqual(core.dtypes)
})

test('what dtypes are', () => {
  const wanted = rowsOf('torch/dtypes.def', 'DTYPE').map(([, name, , bytes, unit, bits, kind]) => [
    name,
    Number(bytes),
    Number(unit),
    Number(bits),
    kind,
  ])
  expect(wanted.length).toBe(core.dtypes.length)
  expect(
    DTYPES.map(({ name, bytes, unit, bits, kind }) => [name, bytes, unit, bits, kind]),
  ).toEqual(wanted)
})

test('typed arrays begin where elements can', () => {
  for (const { name, array, bytes, unit } of DTYPES) {
    expect({ name, fits: bytes % array.BYTES_PER_ELEMENT }).toEqual({ name, fits: 0 })
    expect({ name, unit: array.BYTES_PER_ELEMENT }).toEqual({ name, unit })
  }
})

test('error codes and their classes', () => {
  expect(Object.keys(CODES)).toEqual(core.codes)
  const wanted = rowsOf('codes.def', 'CODE').map(([, code, kind]) => [code, kind])
  expect(Object.entries(CODES)).toEqual(wanted)
})

test('every code makes an error of its class', () => {
  const classes = {
    Format: FormatError,
    Unsupported: UnsupportedError,
    Unsafe: UnsafeError,
    Limit: LimitError,
    State: StateError,
    Remote: RemoteError,
  }
  for (const [code, kind] of Object.entries(CODES)) {
    const failure = { code, message: 'a sentence', subject: 'thing', limit: 1, actual: 2 }
    const error = errorFrom(failure, '/x.pth') as CheckpointError
    expect(error).toBeInstanceOf(classes[kind])
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.name).toBe(classes[kind].name)
    expect(error.code).toBe(code)
    expect(error.message).toBe(`a sentence, in '/x.pth' (${code})`)
    expect(isCheckpointError(error, code as ErrorCode)).toBe(true)
  }
})

test('limits', () => {
  expect(LIMITS).toEqual(core.limits)
})

test('limits have the names that are documented', () => {
  const source = readFileSync(join(__dirname, '../lib/limits.ts'), 'utf8')
  const documented = [...source.matchAll(/^ \* - `(\w+)`:/gm)].map(([, name]) => name)
  expect(documented).toEqual(Object.keys(LIMITS))
})

test('layouts, part roles and schemes are as many as in the core', () => {
  const header = readFileSync(join(__dirname, '../native/core/torch/catalog.h'), 'utf8')
  const members = (name: string) =>
    (new RegExp(`enum class ${name} : \\w+ \\{([^}]*)\\}`).exec(header)?.[1] ?? '')
      .replaceAll(/\/\/.*$/gm, '')
      .match(/k\w+/g)
  const flat = (names: readonly string[]) =>
    names.map((name) => name.replaceAll('_', '').toLowerCase())
  const bare = (names: string[] | null) => (names ?? []).map((name) => name.slice(1).toLowerCase())
  expect(flat(LAYOUTS)).toEqual(bare(members('Layout')))
  expect(flat(PART_ROLES)).toEqual(bare(members('PartRole')))
  expect(members('QScheme')?.length).toBe(QSCHEMES.length)
})

test('operating system failures have the shape of Node', () => {
  const error = errorFrom({ code: 'IO', message: '', subject: 'open', actual: 2 }, '/x.pth')
  expect(error).toMatchObject({ code: 'ENOENT', syscall: 'open', path: '/x.pth' })
  expect(error.message).toBe("ENOENT: no such file or directory, open '/x.pth'")
  expect(isCheckpointError(error)).toBe(false)
})

test('messages say where', () => {
  const message = "record 'm/data/17' has 10 bytes but its storage needs 20"
  const failure = { code: 'TRUNCATED', message, record: 'm/data/17', offset: 123 }
  expect(errorFrom(failure, '/x/y.pth').message).toBe(
    "record 'm/data/17' has 10 bytes but its storage needs 20, in '/x/y.pth' at byte 123 (TRUNCATED)",
  )
  const elsewhere = { code: 'BAD_PICKLE', message: 'the stack is empty', record: 'm/data.pkl' }
  expect(errorFrom(elsewhere, undefined).message).toBe(
    "the stack is empty, in record 'm/data.pkl' (BAD_PICKLE)",
  )
})
