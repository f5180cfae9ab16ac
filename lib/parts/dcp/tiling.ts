/** Whether chunks make up a whole tensor. */

/** A block of a tensor: its first index and its size along each dimension. */
export interface Box {
  readonly offsets: readonly number[]
  readonly sizes: readonly number[]
}

/** Dimensions that tensors are cut along; each doubles the corners of a chunk. */
const MOST_CUTS = 8

/** What {@link fault} costs: corners looked at; nothing for more cuts than it can look at. */
export function cornersOf(shape: readonly number[], boxes: readonly Box[]): number | undefined {
  const cuts = cutDimensions(shape, boxes).length
  return cuts > MOST_CUTS ? undefined : boxes.length * 2 ** cuts
}

/**
 * What is wrong with boxes that should fill `shape`, each place once; nothing when they do. The
 * boxes lie inside and are not empty, and there are no more than 8 dimensions to cut.
 *
 * The function that is 1 inside a box and 0 outside is made of steps at its corners, up at those
 * with an even number of upper bounds, down at the others. So boxes fill a larger one exactly when
 * the steps of all of them add up to its own.
 */
export function fault(shape: readonly number[], boxes: readonly Box[]): string | undefined {
  const cuts = cutDimensions(shape, boxes)
  const steps = new Map<string, number>()
  const add = ({ offsets, sizes }: Box, height: number) => {
    for (let corner = 0; corner < 2 ** cuts.length; ++corner) {
      let step = height
      let key = ''
      for (const [i, d] of cuts.entries()) {
        const isUpper = (corner & (1 << i)) !== 0
        if (isUpper) step = -step
        key += `${offsets[d]! + (isUpper ? sizes[d]! : 0)},`
      }
      const sum = (steps.get(key) ?? 0) + step
      if (sum === 0) steps.delete(key)
      else steps.set(key, sum)
    }
  }
  for (const box of boxes) add(box, 1)
  const elements = count(shape)
  if (elements > 0) add({ offsets: shape.map(() => 0), sizes: shape }, -1)
  if (steps.size === 0) return undefined
  const covered = boxes.reduce((sum, { sizes }) => sum + count(sizes), 0)
  if (covered < elements) return `its chunks have ${covered} of ${elements} elements`
  return `its chunks overlap: they have ${covered} elements, the tensor ${elements}`
}

function cutDimensions(shape: readonly number[], boxes: readonly Box[]): number[] {
  const dimensions = shape.map((_, d) => d)
  return dimensions.filter((d) => boxes.some(({ sizes }) => sizes[d] !== shape[d]))
}

/** Elements of a shape. */
export function count(sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a * b, 1)
}
