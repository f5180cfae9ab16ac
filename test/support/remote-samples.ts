/** A checkpoint that is worth fetching in pieces. */
import type { TensorData } from '../../lib/index'
import { writeCheckpoint } from './checkpoint-writer'
import { ramp } from './samples'

export const COUNT = 64
/** Bytes of each of `names`, and of the storage of `tail`. */
export const SIZE = 2 ** 16
export const LONG = 2 ** 23
export const names = Array.from({ length: COUNT }, (_, i) => `layer.${i}`)

/** 64 tensors of 64 KiB, and one view of the last elements of a storage of 8 MiB. */
export function writeLarge(path: string): string {
  writeCheckpoint(
    path,
    [
      ...names.map((name, i) => {
        return { name, type: 'Float', key: String(i), numel: SIZE / 4, shape: [SIZE / 4] }
      }),
      {
        name: 'tail',
        type: 'Float',
        key: 'long',
        numel: LONG / 4,
        shape: [16],
        offset: LONG / 4 - 16,
      },
    ],
    [
      ...names.map((_, i) => {
        const bytes = new Uint8Array(ramp(SIZE / 4, i).buffer)
        return { key: String(i), size: SIZE, parts: [{ offset: 0, bytes }] }
      }),
      {
        key: 'long',
        size: LONG,
        parts: [{ offset: LONG - 64, bytes: new Uint8Array(ramp(16, 7).buffer) }],
      },
    ],
  )
  return path
}

/** Whether they are the elements of tensor `i`; comparing them one by one would take seconds. */
export function isRamp(data: TensorData, i: number): boolean {
  return data.length === SIZE / 4 && Buffer.compare(asBytes(data), asBytes(ramp(SIZE / 4, i))) === 0
}

function asBytes({ buffer, byteOffset, byteLength }: TensorData): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
