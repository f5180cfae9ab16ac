/** Which bytes of storages a tensor needs. */
import { denseBytes } from './dtype'
import type { Session } from './session'
import { StoragePlace } from './tables'
import type { Range } from './values'

/** The row of a tensor and those of its parts. */
export function rowsWithParts({ catalog }: Session, row: number): number[] {
  const rows = [row]
  for (const whole of rows) for (const [, part] of catalog.parts(whole)) rows.push(part)
  return rows
}

/**
 * Bytes of a storage as they are stored, all of one that is deflated or in foreign byte order;
 * nothing for a row that needs none of a file.
 */
export function storedRange({ catalog }: Session, row: number): Range | undefined {
  const storage = catalog.storageOf(row)
  if (storage === undefined) return
  const place = catalog.storagePlace(storage)
  if (place !== StoragePlace.record && place !== StoragePlace.file) return
  const deflated = catalog.deflatedBytes(storage)
  const stored = deflated === 0 ? catalog.storageBytes(storage) : deflated
  const isPart = deflated === 0 && catalog.storageSwap(storage) <= 1 && !catalog.isRagged(row)
  if (!isPart) return stored > 0 ? { storage, start: 0, end: stored } : undefined
  const count = catalog.numel(row)
  if (count === 0) return
  const dtype = catalog.dtype(row)
  const strides = catalog.strides(row)
  const reach = catalog.isContiguous(row)
    ? count
    : catalog.sizes(row).reduce((sum, size, i) => sum + (size - 1) * strides[i]!, 1)
  const start = Math.floor((catalog.offset(row) * dtype.bits) / 8)
  const end = Math.min(start + denseBytes(dtype, reach), stored)
  return start < end ? { storage, start, end } : undefined
}
