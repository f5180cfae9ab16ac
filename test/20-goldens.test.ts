/** Every golden, read whole: names, dtypes, shapes, strides, offsets, bytes, sharing, values. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type CheckpointError, isCheckpointError, open, openSync, type Tensor } from '../lib/index'
import { Comparison, FIXTURES, type GoldenRow, readManifest, SETS } from './support/golden'
import { canonical, simplify } from './support/python'

function compare(path: string, row: GoldenRow, mmap: boolean): string[] {
  const comparison = new Comparison()
  const checkpoint = openSync(path, { mmap })
  comparison.expect('format', checkpoint.format, row.format)
  comparison.names(checkpoint, row)
  for (const [name, tensor] of Object.entries({ ...row.tensors, ...row.constants })) {
    comparison.tensor(name, checkpoint.tensors.get(name), tensor)
  }
  if (row.parameters !== undefined) {
    const found = [...checkpoint.stateDict()].filter(([, tensor]) => tensor.isParameter)
    const names = found.map(([name]) => name)
    comparison.expect('parameters', names.sort(), row.parameters.sort())
  }
  if (row.own_state_dict !== undefined) {
    const found = checkpoint.stateDict()
    comparison.expect('own state dict', [...found.keys()], Object.keys(row.own_state_dict))
    for (const [name, tensor] of Object.entries(row.own_state_dict)) {
      comparison.tensor(name, found.get(name), tensor)
    }
  }
  if (row.state_dict !== null) comparison.stateDict(checkpoint, row.state_dict)
  if (row.root !== undefined) {
    const wanted = simplify(row.root, (name) => identity(checkpoint.tensors.get(name) as Tensor))
    comparison.expect('root', canonical(checkpoint.root, identity), wanted)
  }
  checkpoint.close()
  return comparison.differences
}

/** A tensor in `root` and the same one in `tensors` are different objects over one view. */
function identity({ dtype, shape, stride, storageOffset, storage }: Tensor): string {
  return JSON.stringify([dtype, shape, stride, storageOffset, storage?.key])
}

for (const set of SETS) {
  describe(set, () => {
    for (const row of readManifest(set)) {
      const path = join(FIXTURES, set, row.file)
      if (row.error === undefined) {
        test(row.file, () => {
          expect(compare(path, row, true)).toEqual([])
        })
        test(`${row.file}, read instead of mapped`, () => {
          expect(compare(path, row, false)).toEqual([])
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
