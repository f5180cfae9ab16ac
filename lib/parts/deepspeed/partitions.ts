/**
 * The fp32 weights that ZeRO spreads over ranks, put together as zero_to_fp32.py does.
 *
 *   stages 1, 2   the parameters of a group stand one after another in one flat vector, of which
 *                 each rank has a share
 *   stage 3       of each parameter every rank has a share of ceil(n / ranks) elements; those of a
 *                 rank stand one after another in its groups
 *
 * Source: deepspeed/utils/zero_to_fp32.py, _zero2_merge_trainable_params,
 * _zero3_merge_trainable_params (0.19).
 */
import { isCheckpointError, isFileError } from '../../errors'
import type { MadeSession } from '../../made'
import type { Tensor } from '../../tensor'
import type { PartFile } from '../part-file'
import { assembled, type Piece, piecesOf } from './pieces'
import { bad, numel, type OptimizerStates, optimizerStates, type Shapes } from './states'

/** Where a weight lies. */
interface Place {
  shape: readonly number[]
  count: number
  /** Group, in stages 1 and 2. */
  group: number
  /** Elements: of the group in stages 1 and 2, of each rank in stage 3. */
  start: number
}

export abstract class Partitions {
  protected readonly ranks: readonly PartFile[]
  protected readonly shapes: readonly Shapes[]
  /** The rank that says what all have in common: the first that is there. */
  protected readonly first: PartFile
  #places: ReadonlyMap<string, Place> | undefined

  /** @param ranks the optimizer states of all ranks, in order */
  constructor(ranks: readonly PartFile[], first: PartFile, shapes: readonly Shapes[]) {
    this.ranks = ranks
    this.first = first
    this.shapes = shapes
  }

  /** The names of the weights, in order. */
  get names(): Set<string> {
    return new Set(this.shapes.flatMap((group) => [...group.keys()]))
  }

  /** @throws what {@link tensor} throws, for any weight */
  check(): void {
    for (const rank of this.ranks) this.states(rank)
    for (const name of this.names) this.#pieces(name)
  }

  /**
   * The weight called `name`.
   *
   * @throws {@link FormatError} `BAD_INDEX` when the shapes are not those of the partitions
   * @throws {@link StateError} `MISSING_SHARD`
   */
  tensor(session: MadeSession, name: string): Tensor {
    const { pieces, shape } = this.#pieces(name)
    const dtype = (pieces[0]?.flat ?? this.states(this.first).groups[0])?.dtype ?? 'float32'
    return assembled(session, name, shape, dtype, pieces)
  }

  /** Where the weights lie; checks that they fill the partitions. */
  protected abstract locate(): Map<string, Place>

  protected abstract pieces(place: Place): Piece[]

  protected states(part: PartFile): OptimizerStates {
    const states = optimizerStates(part)
    const { stage, groups } = optimizerStates(this.first)
    if (states.stage === stage && states.groups.length === groups.length) return states
    throw bad(
      part,
      `it is of stage ${states.stage} with ${states.groups.length} groups where ` +
        `'${this.first.path}' is of stage ${stage} with ${groups.length}`,
    )
  }

  #pieces(name: string): { pieces: Piece[]; shape: readonly number[] } {
    this.#places ??= this.locate()
    const place = this.#places.get(name)!
    return { pieces: place.count === 0 ? [] : this.pieces(place), shape: place.shape }
  }
}

/** Stages 1 and 2. */
export class GroupPartitions extends Partitions {
  /** Elements of each group on each rank. */
  #lengths: readonly (readonly number[])[] = []

  protected override locate(): Map<string, Place> {
    const { groups, alignmentPaddings } = this.states(this.first)
    if (groups.length !== this.shapes.length) {
      const message = `it has ${groups.length} groups where 'param_shapes' has ${this.shapes.length}`
      throw bad(this.first, message)
    }
    const known = groups.map((_, group) => this.#lengthsOf(group))
    const isComplete = !known.flat().includes(undefined)
    // A rank that is not there has as many as the longest one: only the last ones are shorter.
    const lengths = known.map((all) => {
      const longest = all.reduce((a: number, b) => Math.max(a, b ?? 0), 0)
      return all.map((length) => length ?? longest)
    })
    const places = new Map<string, Place>()
    for (const [group, shapes] of this.shapes.entries()) {
      const total = sum(lengths[group]!)
      const paddings = alignmentPaddings?.[group]
      if (alignmentPaddings !== undefined && paddings?.length !== shapes.size) {
        const found = paddings?.length ?? 0
        const message = `group ${group} has ${found} alignment paddings for ${shapes.size} parameters`
        throw bad(this.first, message)
      }
      let start = 0
      for (const [i, [name, shape]] of [...shapes].entries()) {
        const count = numel(shape)
        if (count > total - start) throw this.#tooLong(name, shape, group, start, total)
        places.set(name, { shape, count, group, start })
        start += count + (paddings?.[i] ?? 0)
      }
      // The writer pads to a multiple of this, and takes some of it away again.
      const unit = 2 * this.ranks.length
      if (isComplete && Math.ceil(start / unit) !== Math.ceil(total / unit)) {
        const message = `the parameters of group ${group} have ${start} elements, its partitions ${total}`
        throw bad(this.first, message)
      }
    }
    this.#lengths = lengths
    return places
  }

  protected override pieces({ group, start, count }: Place): Piece[] {
    const flat = (rank: number) => this.states(this.ranks[rank]!).groups[group]!
    const pieces = piecesOf(this.#lengths[group]!, flat, start, count)
    // A rank that was not there may be now, with another length.
    for (const { flat, start, count } of pieces) {
      if (count <= flat.size - start) continue
      const message = `${start + count} elements of group ${group} are wanted of ${flat.size} on a rank`
      throw bad(this.first, message)
    }
    return pieces
  }

  /** The length of a group on each rank; nothing for a rank that is not there or cannot be read. */
  #lengthsOf(group: number): (number | undefined)[] {
    return this.ranks.map((rank) => {
      try {
        return this.states(rank).groups[group]!.size
      } catch (error) {
        if (isCheckpointError(error, 'MISSING_SHARD') || isFileError(error)) return undefined
        throw error
      }
    })
  }

  #tooLong(
    name: string,
    shape: readonly number[],
    group: number,
    start: number,
    total: number,
  ): Error {
    const message =
      `parameter '${name}' of shape [${shape.join(', ')}] begins at element ${start} of the ` +
      `${total} that the partitions of group ${group} have`
    return bad(this.first, message)
  }
}

/** Stage 3. */
export class ParameterPartitions extends Partitions {
  #lengths: readonly number[] = []

  protected override locate(): Map<string, Place> {
    const world = this.ranks.length
    this.#lengths = this.#lengthsOf(this.first)
    const total = sum(this.#lengths)
    const places = new Map<string, Place>()
    const shapes = new Map(this.shapes.flatMap((group) => [...group]))
    let start = 0
    for (const [name, shape] of shapes) {
      const count = numel(shape)
      const share = Math.ceil(count / world)
      if (share > total - start) {
        const message =
          `parameter '${name}' of shape [${shape.join(', ')}] begins at element ${start} of the ` +
          `${total} that each of ${world} ranks has`
        throw bad(this.first, message)
      }
      places.set(name, { shape, count, group: 0, start })
      start += share
    }
    if (start !== total) {
      const message = `the parameters have ${start * world} elements, the partitions ${total * world}`
      throw bad(this.first, message)
    }
    return places
  }

  protected override pieces({ start, count }: Place): Piece[] {
    const share = Math.ceil(count / this.ranks.length)
    const pieces: Piece[] = []
    for (let [i, left] = [0, count]; left > 0; ++i, left -= share) {
      const rank = this.ranks[i]!
      const lengths = this.#lengthsOf(rank)
      const flat = (group: number) => this.states(rank).groups[group]!
      pieces.push(...piecesOf(lengths, flat, start, Math.min(share, left)))
    }
    return pieces
  }

  #lengthsOf(rank: PartFile): readonly number[] {
    const lengths = this.states(rank).groups.map(({ size }) => size)
    const wanted = rank === this.first ? lengths : this.#lengths
    if (lengths.every((length, i) => length === wanted[i])) return lengths
    const message =
      `its groups have [${lengths.join(', ')}] elements where those of '${this.first.path}' have ` +
      `[${wanted.join(', ')}]`
    throw bad(rank, message)
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0)
}
