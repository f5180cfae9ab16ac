/**
 * Checkpoints that others wrote, each with a `NAME.json` of what real PyTorch reads from it. They lie beside the
 * project, not in it: without them there is nothing to check here but that the goldens are there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { openSync } from '../lib/index'
import { Comparison, readManifest, SETS, type TensorRow } from './support/golden'

const FOLDER = process.env.TORCHMAP_FIXTURES ?? join(__dirname, '..', '..', 'shared', 'fixtures')

interface Reading {
  tensors: Record<string, TensorRow> | null
  state_dict: Record<string, TensorRow> | null
}

const files = existsSync(FOLDER)
  ? readdirSync(FOLDER).filter(
      (name) => name.endsWith('.json') && existsSync(join(FOLDER, name.slice(0, -5))),
    )
  : []

describe('checkpoints of others', () => {
  test(`${files.length} files`, () => {
    expect(files.length > 0 || SETS.every((set) => readManifest(set).length > 0)).toBe(true)
  })
  for (const name of files) {
    test(name.slice(0, -5), () => {
      const reading = JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as Reading
      const comparison = new Comparison()
      const checkpoint = openSync(join(FOLDER, name.slice(0, -5)))
      for (const [source, wanted] of [
        [checkpoint.tensors, reading.tensors],
        [checkpoint.stateDict(), reading.state_dict],
      ] as const) {
        if (wanted === null) continue
        comparison.expect('names', [...source.keys()].sort(), Object.keys(wanted).sort())
        for (const [key, row] of Object.entries(wanted))
          comparison.tensor(key, source.get(key), row)
      }
      expect(comparison.differences).toEqual([])
      checkpoint.close()
    })
  }
})
