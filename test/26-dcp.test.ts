/** Directories of torch.distributed.checkpoint: what torch's own writers make, against what torch reads of it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { type Checkpoint, open, openSync, type Tensor } from '../lib/index'
import { FIXTURES, sha256 } from './support/golden'
import { canonical, simplify } from './support/python'

const FOLDER = join(FIXTURES, 'dcp')

interface Row {
  case: string
  ranks: number
  tensors: Record<
    string,
    { dtype: string; shape: number[]; sha256: string; requires_grad?: boolean; chunks?: number }
  >
  state_dict: Record<string, string>
  root: unknown
  /** Dicts of several files have their keys in no certain order. */
  unordered?: boolean
}

const ROWS = JSON.parse(readFileSync(join(FOLDER, 'manifest.json'), 'utf8')) as Row[]

function compare(checkpoint: Checkpoint, row: Row): void {
  expect(checkpoint.format).toBe('dcp')
  expect([...checkpoint.tensors.keys()].sort()).toEqual(Object.keys(row.tensors).sort())
  for (const [name, wanted] of Object.entries(row.tensors)) {
    const tensor = checkpoint.tensors.get(name) as Tensor
    const found = {
      name: tensor.name,
      dtype: tensor.dtype,
      shape: [...tensor.shape],
      sha256: sha256(tensor.bytes()),
      requiresGrad: tensor.requiresGrad,
    }
    const { dtype, shape } = wanted
    const requiresGrad = wanted.requires_grad ?? false
    expect(found).toEqual({ name, dtype, shape, sha256: wanted.sha256, requiresGrad })
  }
  const weights = checkpoint.stateDict()
  expect([...weights.keys()].sort()).toEqual(Object.keys(row.state_dict).sort())
  for (const [name, full] of Object.entries(row.state_dict)) {
    expect(weights.get(name)).toBe(checkpoint.tensors.get(full))
  }
  const found = canonical(checkpoint.root, (tensor) => {
    // The same object under the same name.
    expect(checkpoint.tensors.get(tensor.name)).toBe(tensor)
    return tensor.name
  })
  const wanted = simplify(row.root, (name) => name)
  if (row.unordered) expect(ordered(found)).toEqual(ordered(wanted))
  else expect(found).toEqual(wanted)
  expect(checkpoint.skipped).toEqual([])
}

/** With the entries of dicts sorted. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (value === null || typeof value !== 'object') return value
  const { dict } = value as { dict?: unknown[] }
  if (dict === undefined) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, ordered(item)]))
  }
  const pairs = dict.map((pair) => JSON.stringify(ordered(pair)))
  return { dict: pairs.sort() }
}

describe('written by torch', () => {
  test('every directory has a row', () => {
    const folders = readdirSync(FOLDER).filter((name) => name !== 'manifest.json')
    expect(folders.sort()).toEqual(ROWS.map((row) => row.case).sort())
    expect(ROWS.length).toBeGreaterThan(8)
  })
  for (const row of ROWS) {
    const path = join(FOLDER, row.case)
    test(row.case, async () => {
      using checkpoint = await open(path)
      compare(checkpoint, row)
    })
    test(`${row.case}, read instead of mapped, at once`, () => {
      using checkpoint = openSync(path, { mmap: false, parts: 'open' })
      compare(checkpoint, row)
    })
    test(`${row.case}, strict, lazy`, () => {
      const options = { globals: 'strict', parts: 'lazy' } as const
      if (row.case === 'torch-1.13') {
        // Some releases of Python 3.11 pickle the members of an enum as calls of getattr.
        expect(() => openSync(path, options)).toThrow('builtins.getattr')
        return
      }
      using checkpoint = openSync(path, options)
      compare(checkpoint, row)
    })
  }
})
