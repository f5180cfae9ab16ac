/** Files, storages and offsets above 4 GiB are ordinary. The files are sparse: they take no room on the disk. */
import { constants } from 'node:buffer'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type CheckpointError, openSync } from '../lib/index'
import { writeCheckpoint } from './support/checkpoint-writer'

const GIB = 2 ** 30
const folder = mkdtempSync(join(tmpdir(), 'torchmap-large-'))
const path = join(folder, 'large.pth')
const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer)

beforeAll(() => {
  const numel = (5 * GIB) / 4
  writeCheckpoint(
    path,
    [
      { name: 'whole', type: 'Float', key: '0', numel, shape: [numel] },
      { name: 'start', type: 'Float', key: '0', numel, shape: [2] },
      { name: 'end', type: 'Float', key: '0', numel, offset: numel - 3, shape: [3] },
      {
        name: 'column',
        type: 'Float',
        key: '0',
        numel,
        offset: numel - 3,
        shape: [2],
        stride: [2],
      },
      { name: 'far', type: 'Float', key: '1', numel: GIB, offset: GIB - 2, shape: [2] },
      { name: 'last', type: 'Float', key: '2', numel: 3, shape: [3] },
    ],
    [
      {
        key: '0',
        size: 5 * GIB,
        parts: [
          { offset: 0, bytes: floats(1, 2) },
          { offset: 5 * GIB - 12, bytes: floats(3, 4, 5) },
        ],
      },
      { key: '1', size: 4 * GIB, parts: [{ offset: 4 * GIB - 8, bytes: floats(6, 7) }] },
      { key: '2', size: 12, parts: [{ offset: 0, bytes: floats(8, 9, 10) }] },
    ],
  )
})
afterAll(() => rmSync(folder, { recursive: true }))

for (const mmap of [true, false]) {
  test(`storages above 4 GiB in an archive above 8 GiB, ${mmap ? 'mapped' : 'read'}`, () => {
    const checkpoint = openSync(path, { mmap })
    expect(checkpoint.size).toBeGreaterThan(9 * GIB)
    const data = (name: string): number[] =>
      Array.from(checkpoint.tensors.get(name)?.data as Float32Array)
    if (mmap || constants.MAX_LENGTH <= 2 ** 32) {
      expect(data('start')).toEqual([1, 2])
      expect(data('end')).toEqual([3, 4, 5])
      expect(data('column')).toEqual([3, 5])
      expect(data('far')).toEqual([6, 7])
    }
    expect(data('last')).toEqual([8, 9, 10])
    const whole = checkpoint.tensors.get('whole')
    expect(whole?.byteLength).toBe(5 * GIB)
    expect(Array.from(whole?.bytes(5 * GIB - 12, 5 * GIB) ?? [])).toEqual(
      Array.from(floats(3, 4, 5)),
    )
    expect(Array.from(whole?.bytes(4 * GIB - 4, 4 * GIB + 4) ?? [])).toEqual([
      0, 0, 0, 0, 0, 0, 0, 0,
    ])
    checkpoint.close()
  })
}

test('a storage longer than one ArrayBuffer may be says so', () => {
  const checkpoint = openSync(path)
  const whole = checkpoint.tensors.get('whole')
  if (constants.MAX_LENGTH > 2 ** 32) {
    const data = whole?.data as Float32Array
    expect(data.length).toBe((5 * GIB) / 4)
    expect(data[data.length - 1]).toBe(5)
  } else {
    let error: CheckpointError | undefined
    try {
      void whole?.data
    } catch (reason) {
      error = reason as CheckpointError
    }
    expect(error?.code).toBe('UNSUPPORTED_RUNTIME')
    expect(error?.message).toContain('bytes(start, end)')
  }
  checkpoint.close()
})
