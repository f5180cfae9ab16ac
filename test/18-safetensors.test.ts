/** safetensors: what the goldens of test/20 do not ask. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import { isCheckpointError, open, openSync } from '../lib/index'
import { FIXTURES, readManifest } from './support/golden'
import { refusal, temporaryFolder, tensorOf } from './support/samples'

const folder = temporaryFolder('safetensors')
const SET = join(FIXTURES, 'safetensors')
const rows = readManifest('safetensors')
const golden = (name: string) => join(SET, `${name}.safetensors`)

/** A file of this header and these bytes. */
function framed(header: unknown, data: Uint8Array = new Uint8Array()): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, data])
}

const f32 = (begin: number, end: number) => ({
  dtype: 'F32',
  shape: [(end - begin) / 4],
  data_offsets: [begin, end],
})
const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer)

describe('the file as a whole', () => {
  test('metadata, as the reference gives it', () => {
    const asked = rows.filter(({ metadata }) => metadata !== undefined)
    expect(asked.length).toBeGreaterThan(15)
    for (const { file, metadata } of asked) {
      const checkpoint = openSync(join(SET, file))
      const found = checkpoint.metadata && Object.fromEntries(checkpoint.metadata)
      expect([file, found ?? null]).toEqual([file, metadata])
      checkpoint.close()
    }
  })

  test('the reference refuses what is refused here', () => {
    const refused = rows.filter(({ error }) => error !== undefined)
    expect(refused.length).toBeGreaterThan(40)
    for (const row of refused) expect(row).toHaveProperty('oracle_error')
  })

  test('no metadata in other formats', () => {
    const checkpoint = openSync(join(FIXTURES, 'torch-2.13', 'state-dict.pt'))
    expect(checkpoint.metadata).toBeUndefined()
    checkpoint.close()
  })

  test('it has no era, and is shown without', () => {
    const checkpoint = openSync(golden('saved'))
    expect(checkpoint).toMatchObject({
      format: 'safetensors',
      era: '',
      byteOrder: 'little',
      isSalvaged: false,
    })
    expect(inspect(checkpoint)).toMatch(/ safetensors, \d+ bytes, mapped\)$/)
    checkpoint.close()
  })

  test('the root is a Map of the tensors, in the order of their bytes', () => {
    const checkpoint = openSync(golden('order'))
    expect([...checkpoint.tensors.keys()]).toEqual(['a', 'c', 'z', 'b'])
    const root = checkpoint.root as Map<string, unknown>
    expect([...root.keys()]).toEqual(['a', 'c', 'z', 'b'])
    expect(root.get('z')).toBe(checkpoint.tensors.get('z'))
    expect([...checkpoint.stateDict().keys()]).toEqual(['a', 'c', 'z', 'b'])
    checkpoint.close()
  })

  test('names that look like paths and wrappers stay what they are', () => {
    const data = floats(1, 2, 3)
    const header = { model: f32(0, 4), 'state_dict.a': f32(4, 8), 'a..b.': f32(8, 12) }
    const checkpoint = openSync(framed(header, data))
    expect([...checkpoint.stateDict().keys()]).toEqual(['model', 'state_dict.a', 'a..b.'])
    expect(tensorOf(checkpoint, 'a..b.').data).toEqual(Float32Array.of(3))
    checkpoint.close()
  })

  test('what torch has no dtype for is skipped with its place and size', () => {
    const checkpoint = openSync(golden('bits'))
    expect(checkpoint.skipped.map(({ name, code }) => [name, code])).toEqual([
      ['odd', 'UNSUPPORTED_DTYPE'],
      ['six', 'UNSUPPORTED_DTYPE'],
      ['six.b', 'UNSUPPORTED_DTYPE'],
    ])
    const start = checkpoint.size - 21
    expect(checkpoint.skipped[1]?.message).toContain(`3 bytes at byte ${start + 12}`)
    checkpoint.close()
  })
})

describe('bytes', () => {
  test('tensors at even and at odd addresses', () => {
    const path = join(folder, 'aligned.safetensors')
    // A header that leaves the data at a multiple of 8, as save_file makes it.
    const bare = JSON.stringify({ a: f32(0, 16), b: f32(16, 24) })
    const header = bare.padEnd(Math.ceil(bare.length / 8) * 8)
    writeFileSync(path, framed(header, floats(1, 2, 3, 4, 5, 6)))
    const checkpoint = openSync(path)
    const [a, b] = [tensorOf(checkpoint, 'a'), tensorOf(checkpoint, 'b')]
    expect([a.data, b.data]).toEqual([Float32Array.of(1, 2, 3, 4), Float32Array.of(5, 6)])
    expect([a.isZeroCopy, b.isZeroCopy]).toEqual([true, true])
    expect(a.storage?.key).toBe('a')
    checkpoint.close()
    expect(a.size).toBe(4)

    const odd = openSync(golden('unaligned'))
    const raw = Uint8Array.from({ length: 16 }, (_, i) => i + 2)
    expect(tensorOf(odd, 'b').bytes()).toEqual(raw)
    expect(tensorOf(odd, 'b').data).toEqual(new Float64Array(raw.buffer))
    odd.close()
  })

  test('from a path, read, in the background, and from bytes', async () => {
    const row = rows.find(({ file }) => file === 'saved.safetensors')
    const bytes = readFileSync(golden('saved'))
    for (const checkpoint of [
      openSync(golden('saved'), { mmap: false }),
      await open(golden('saved')),
      openSync(bytes),
      await open(new Uint8Array(bytes)),
    ]) {
      expect(Object.keys(row?.tensors ?? {})).toEqual([...checkpoint.tensors.keys()])
      expect(tensorOf(checkpoint, 'step').data).toEqual(BigInt64Array.of(7n))
      expect([...(checkpoint.metadata ?? [])]).toEqual([['größe', '✓ \n']])
      checkpoint.close()
    }
  })
})

describe('what it is', () => {
  test('a header of 640 bytes begins like a pickle', () => {
    for (const length of [0x280, 0x380, 0x480, 0x580]) {
      const header = JSON.stringify({ a: f32(0, 4) }).padEnd(length)
      const whole = framed(header, floats(8))
      expect([...whole.subarray(0, 2)]).toEqual([0x80, length >> 8])
      const checkpoint = openSync(whole)
      expect(checkpoint.format).toBe('safetensors')
      expect(tensorOf(checkpoint, 'a').data).toEqual(Float32Array.of(8))
      checkpoint.close()
      expect(refusal(() => openSync(whole.subarray(0, 100)))).toMatchObject({ code: 'TRUNCATED' })
      expect(refusal(() => openSync(whole.subarray(0, -1))).message).toContain(
        'incomplete download',
      )
    }
  })

  test('a header of 3,016,011 bytes begins like a whole pickle of the number 5', () => {
    // K\x05. and a byte: BININT1, STOP.
    const length = 0x2e054b
    const header = JSON.stringify({ a: f32(0, 4) }).padEnd(length)
    const whole = framed(header, floats(8))
    expect([...whole.subarray(0, 3)]).toEqual([0x4b, 5, 0x2e])
    const checkpoint = openSync(whole)
    expect(checkpoint.format).toBe('safetensors')
    checkpoint.close()
    expect(refusal(() => openSync(whole.subarray(0, 1000)))).toMatchObject({ code: 'TRUNCATED' })
  })

  test('pickles that begin like safetensors', () => {
    // BINUNICODE of 5 characters, the first of them NUL: a "header" of 0x580280 + (5 << 24) bytes.
    const words = Buffer.from('\x80\x02X\x05\0\0\0\0{"a"q\0.', 'latin1')
    const checkpoint = openSync(words)
    expect([checkpoint.format, checkpoint.root]).toEqual(['pickle', '\0{"a"'])
    checkpoint.close()
    // The same in protocol 1, whose first byte is the opcode.
    const short = openSync(Buffer.from('X\x0a\0\0\0\0\0\0{"a":1}.', 'latin1'))
    expect(short.format).toBe('pickle')
    short.close()
  })

  test('a header as long as the signature of a zip archive', () => {
    const length = 0x04034b50
    const header = Buffer.alloc(length, ' ')
    header.write(JSON.stringify({ a: f32(0, 4) }))
    const prefix = Buffer.from('PK\x03\x04\0\0\0\0', 'latin1')
    const checkpoint = openSync(Buffer.concat([prefix, header, floats(3)]))
    expect(checkpoint.format).toBe('safetensors')
    expect(tensorOf(checkpoint, 'a').data).toEqual(Float32Array.of(3))
    checkpoint.close()
  })

  test('cut at every byte, and with every byte of the length changed, it is named', () => {
    const whole = readFileSync(golden('saved'))
    for (let length = 9; length < whole.length; ++length) {
      const error = refusal(() => openSync(whole.subarray(0, length)))
      expect([length, error.code]).toEqual([length, 'TRUNCATED'])
      expect(error.message).toContain('incomplete download')
    }
    for (let at = 0; at < 8; ++at) {
      const changed = Uint8Array.from(whole)
      changed[at] = whole[at]! ^ 0x80
      expect(['TRUNCATED', 'BAD_INDEX']).toContain(refusal(() => openSync(changed)).code)
    }
  })

  test('failures say where', () => {
    const error = refusal(() => openSync(golden('broken-place-hole')))
    expect(error.message).toContain("tensor 'b' has bytes 8 to 12 of the data")
    expect(error.offset).toBe(readFileSync(golden('broken-place-hole')).length - 12 + 4)
    const dtype = refusal(() => openSync(golden('broken-dtype-unknown')))
    expect(isCheckpointError(dtype, 'UNSUPPORTED_DTYPE') && dtype.feature).toBe('F33')
    expect(dtype.offset).toBe(10)
  })
})

describe('limits', () => {
  test('names and nodes', () => {
    const header = { a: f32(0, 4), b: f32(4, 8) }
    const whole = framed(header, floats(1, 2))
    expect(refusal(() => openSync(whole, { limits: { names: 1 } })).code).toBe('LIMIT_NAMES')
    expect(refusal(() => openSync(whole, { limits: { nodes: 3 } })).code).toBe('LIMIT_NODES')
  })

  test('a hundred thousand tensors, and as many spellings of one name', () => {
    const count = 100_000
    const rows = Array.from({ length: count }, (_, i) => [`layer.${i}`, f32(4 * i, 4 * i + 4)])
    const whole = framed(Object.fromEntries(rows), new Uint8Array(4 * count))
    const checkpoint = openSync(whole)
    expect(checkpoint.tensors.size).toBe(count)
    expect(tensorOf(checkpoint, 'layer.99999').storage?.byteLength).toBe(4)
    checkpoint.close()
    const one = `"a":${JSON.stringify(f32(0, 4))}`
    const same = openSync(framed(`{${Array(count).fill(one).join()}}`, floats(1)))
    expect(same.tensors.size).toBe(1)
    same.close()
  })
})
