/** Every golden, read whole: names, dtypes, shapes, strides, offsets, bytes, sharing, values. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type CheckpointError, isCheckpointError, open, openSync } from '../lib/index'
import { compare } from './support/compare'
import { FIXTURES, readManifest, SETS } from './support/golden'

for (const set of SETS) {
  describe(set, () => {
    for (const row of readManifest(set)) {
      const path = join(FIXTURES, set, row.file)
      if (row.error === undefined) {
        test(row.file, () => {
          expect(compare(openSync(path), row)).toEqual([])
        })
        test(`${row.file}, read instead of mapped`, () => {
          expect(compare(openSync(path, { mmap: false }), row)).toEqual([])
        })
        continue
      }
      test(`${row.file} is refused with ${row.error}`, async () => {
        const error = await open(path).then(
          () => undefined,
          (reason: CheckpointError) => reason,
        )
        expect(isCheckpointError(error) && error.code).toBe(row.error)
        expect(error?.message).toContain(row.message ?? '')
        expect(error?.path).toBe(path)
      })
    }
  })
}

test('every golden of the manifests is there', () => {
  for (const set of SETS) {
    for (const row of readManifest(set))
      expect(existsSync(join(FIXTURES, set, row.file))).toBe(true)
  }
})
