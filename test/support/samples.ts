/** A small checkpoint with what most tests need, in a folder of the test's own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from '@jest/globals'
import {
  type Checkpoint,
  type CheckpointError,
  isCheckpointError,
  type OpenOptions,
  open,
  openSync,
  type Source,
  type Tensor,
} from '../../lib/index'
import { writeCheckpoint } from './checkpoint-writer'

/** A new folder, removed after the tests of the file. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `torchmap-${name}-`))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The numbers 0, 1, 2 ... from `first` as float32. */
export function ramp(count: number, first = 0): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => first + i)
}

const bytesOf = (array: Float32Array) => new Uint8Array(array.buffer)

/**
 * `weight` [2, 3] and `tied`, both over storage 0; `column`, every third element of it; `other` [4] over storage 1.
 * The first element of `weight` is `first`, that of `other` 100 more.
 */
export function writeSample(path: string, first = 0): string {
  writeCheckpoint(
    path,
    [
      { name: 'weight', type: 'Float', key: '0', numel: 6, shape: [2, 3] },
      { name: 'tied', type: 'Float', key: '0', numel: 6, shape: [6] },
      { name: 'column', type: 'Float', key: '0', numel: 6, shape: [2], stride: [3] },
      { name: 'other', type: 'Float', key: '1', numel: 4, shape: [4] },
    ],
    [
      { key: '0', size: 24, parts: [{ offset: 0, bytes: bytesOf(ramp(6, first)) }] },
      { key: '1', size: 16, parts: [{ offset: 0, bytes: bytesOf(ramp(4, first + 100)) }] },
    ],
  )
  return path
}

/** The tensor of a name that must be there. */
export function tensorOf(
  checkpoint: { tensors: ReadonlyMap<string, Tensor> },
  name: string,
): Tensor {
  const tensor = checkpoint.tensors.get(name)
  if (tensor === undefined) throw new Error(`there is no tensor '${name}'`)
  return tensor
}

/** The error that `use` must throw, which must be one of this package. */
export function refusal(use: () => unknown): CheckpointError {
  try {
    use()
  } catch (error) {
    if (isCheckpointError(error)) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** The error that a promise must be rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

/** Opened both ways. */
export async function both(source: Source, options?: OpenOptions): Promise<Checkpoint[]> {
  return [await open(source, options), openSync(source, options)]
}

/** The bytes of every dense tensor, and of the parts of others. */
export function elementBytes(checkpoint: Checkpoint): Map<string, string> {
  const found = new Map<string, string>()
  for (const [name, tensor] of checkpoint.tensors) {
    const isDense = tensor.layout === 'strided' && !tensor.isMeta && !tensor.shape.includes(-1)
    const all = isDense ? [tensor] : Object.values(tensor.parts)
    const dense = all.filter((part) => !part.isMeta && !part.shape.includes(-1))
    found.set(name, dense.map((part) => Buffer.from(part.bytes()).toString('latin1')).join())
  }
  return found
}
