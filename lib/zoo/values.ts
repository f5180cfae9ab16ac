/** The values of a tensor: how large they are, how they are spread, and what about them is odd. */
import { checkOptions, wrongType, wrongValue } from '../arguments'
import { binding } from '../binding'
import type { DType } from '../dtype'
import { StatisticsColumn } from '../tables'
import type { Tensor } from '../tensor'
import { look, numbersOf } from './elements'
import { finding } from './finding'
import type { Finding, ValueStatistics } from './result'

export interface StatisticsOptions {
  /** Steps of the histogram, 65,536 at most; none by default. */
  bins?: number | undefined
  /** Stops the work; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
}

const MOST_BINS = 2 ** 16

/**
 * The values of a tensor as real numbers, found natively, on several threads and off the main one
 * where they are many. Elements that lie in a file as they are, are read from it in pieces: what
 * counts is the file, not what was written to {@link Tensor.data}, and nothing stays in memory.
 * Others go through {@link Tensor.data}, whose copy is given up afterwards.
 *
 * Of complex elements both parts count, each for itself; of a sparse or nested tensor the values it
 * has, of a shard those that are here; quantised ones stand for (q - zero point) * scale. Of 64-bit
 * integers for which a double has not the digits `min` is rounded down and `max` up, so that they
 * are the same only where all elements are.
 *
 * An element v is in the step floor((v - min) / (max - min) * bins) of the histogram, `max` in the
 * last one; where min is max, all are in the first.
 *
 * @throws {@link UnsupportedError} `UNSUPPORTED_DTYPE` for bits dtypes, `UNSUPPORTED_LAYOUT` for
 * tensors without elements
 * @throws {@link StateError} `CLOSED`, `FILE_CHANGED`
 * @throws what {@link Tensor.data} and, of a checkpoint that is elsewhere, {@link Tensor.load} throw
 */
export async function statisticsOf(
  tensor: Tensor,
  options: StatisticsOptions = {},
): Promise<ValueStatistics> {
  checkOptions('options', options as unknown, ['bins', 'signal'])
  const { bins = 0, signal } = options
  if (!Number.isInteger(bins) || bins < 0 || bins > MOST_BINS) {
    throw wrongValue('options.bins', `a number of steps up to ${MOST_BINS}`, bins)
  }
  if (signal !== undefined && typeof signal?.throwIfAborted !== 'function') {
    throw wrongType('options.signal', 'an AbortSignal', signal)
  }
  signal?.throwIfAborted()
  const numbers = await numbersOf(tensor, signal)
  const { elements, count } = numbers
  try {
    const { row, histogram } = await look([numbers], signal, (control) =>
      control === undefined
        ? binding.survey(elements, count, bins)
        : binding.survey(elements, count, bins, control),
    )
    const counts = {
      nan: row[StatisticsColumn.nan]!,
      infinite: row[StatisticsColumn.infinite]!,
      zero: row[StatisticsColumn.zero]!,
      histogram: Array.from(histogram),
    }
    if (row[StatisticsColumn.finite] === 0) return counts
    return {
      min: row[StatisticsColumn.min]!,
      max: row[StatisticsColumn.max]!,
      mean: row[StatisticsColumn.mean]!,
      ...counts,
    }
  } finally {
    numbers.release()
  }
}

/** What is said of the tensor that statistics are of: a {@link Tensor} or a {@link TensorDetail}. */
export interface Described {
  readonly dtype: DType
  readonly shape: readonly number[]
}

/**
 * What is odd about the values of a tensor.
 *
 * NaN and infinity always are. That all elements are the same is said of floats of several
 * dimensions only where it means something:
 *
 * - One element is always the same as itself: counters, scalars.
 * - Integers and booleans are indices, masks and counters, which often are all zero or all one.
 * - Vectors of zeros or ones are what layers are made with: biases, the weights, means and variances
 *   of normalisations. There are many of them in any model that was trained briefly or not at all,
 *   and in those that were exported with such layers frozen. Dimensions of 1 do not count.
 * - What only training needs is zero until it is used: moments of parameters without a gradient.
 *
 * @param isTraining whether the tensor is a part of {@link Checkpoint.training}
 */
export function valueFindings(
  name: string,
  { dtype, shape }: Described,
  statistics: ValueStatistics,
  isTraining = false,
): Finding[] {
  const { min, max, nan, infinite } = statistics
  const found: Finding[] = []
  const place = { tensor: name }
  const size = shape.reduce((a, b) => a * Math.abs(b), 1)
  if (nan > 0) {
    found.push(finding('whole/not-a-number', `${ofAll(nan, size)} not a number.`, place))
  }
  if (infinite > 0) {
    found.push(finding('whole/infinite', `${ofAll(infinite, size)} infinite.`, place))
  }
  const isConstant = nan === 0 && infinite === 0 && min !== undefined && min === max
  const isFloat = dtype.startsWith('float') || dtype.startsWith('bfloat')
  if (!isConstant || !isFloat || isTraining || size < 2) return found
  const isVector = shape.filter((length) => length !== 1).length < 2
  if (isVector && (min === 0 || min === 1)) return found
  const all = `All ${countText(size)} elements of ${dtype} [${shape.join(', ')}] are`
  found.push(
    min === 0
      ? finding('whole/zero', `${all} zero.`, place)
      : finding('whole/constant', `${all} ${min}.`, place),
  )
  return found
}

/** `3 of 1,000 elements are` */
function ofAll(count: number, size: number): string {
  const verb = count === 1 ? 'is' : 'are'
  return `${countText(count)} of ${countText(size)} elements ${verb}`
}

const countText = (count: number) => count.toLocaleString('en-US')
