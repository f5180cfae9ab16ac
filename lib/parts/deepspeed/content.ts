/**
 * A DeepSpeed checkpoint: buffers, frozen parameters, the fp32 weights, further names of them, in
 * the order in which zero_to_fp32.py gives them.
 */
import type { Format, Skipped } from '../../content'
import { renamed } from '../../derived'
import { isLoss } from '../../errors'
import type { FileContent } from '../../file-content'
import { MadeSession } from '../../made'
import { NamedTensors } from '../../named-tensors'
import type { Request } from '../../request'
import type { Storage } from '../../storage'
import type { Tensor } from '../../tensor'
import type { Unit } from '../../verify'
import type { PartFile } from '../part-file'
import { SeveralFiles, skip } from '../several'
import type { Partitions } from './partitions'
import { assembled, basesOf, piecesOf, put } from './pieces'
import { bad, flat, modelStates, numel } from './states'

/** Makes a tensor, the same one each time. */
type Source = () => Tensor

/** The files of a checkpoint. */
export interface Files {
  /** Model states: one, or in stage 3 one for each rank. */
  models: readonly PartFile[]
  /** Whether each rank has a share of the frozen parameters only, and no weights: stage 3. */
  isSharded: boolean
  /** Everything, in order. */
  parts: readonly PartFile[]
}

export class DeepSpeedContent extends SeveralFiles {
  readonly format: Format = 'deepspeed'
  readonly parts: readonly PartFile[]
  readonly tensors: NamedTensors<Source>
  readonly #model: PartFile
  readonly #weights: NamedTensors<string>
  readonly #made: MadeSession
  readonly #sources: ReadonlyMap<string, Source>
  #skipped: readonly Skipped[] | undefined

  /**
   * @param weights the fp32 weights by name, made by the function
   * @param weight makes one of them
   */
  constructor(
    path: string,
    { models, parts, isSharded }: Files,
    request: Request,
    weights: Iterable<string>,
    weight: (session: MadeSession, name: string) => Tensor,
  ) {
    super(path, request.mayMap)
    this.parts = parts
    this.#model = models[0]!
    this.#made = new MadeSession(path, request.limits)
    const states = modelStates(this.#model)
    const isZero = states.paramShapes !== undefined
    const sources = new Map<string, Source>()
    for (const [name, tensor] of states.module) {
      // Without ZeRO everything stays as it is.
      if (isZero && states.bufferNames.has(name))
        sources.set(name, once(this.#buffer(name, tensor)))
    }
    for (const [name, shape] of states.frozenShapes) {
      sources.set(name, once(this.#frozen(name, isSharded, models, shape)))
    }
    for (const name of weights)
      sources.set(
        name,
        once(() => weight(this.#made, name)),
      )
    for (const [alias, name] of states.sharedParams) {
      const source = sources.get(name)
      if (source !== undefined) sources.set(alias, source)
    }
    const names = [...sources.keys()]
    // What the ranks have whole: everything without ZeRO, frozen parameters in stage 1.
    for (const [name, tensor] of states.module) {
      const isPlaceholder = isSharded && tensor.size === 0
      if (!sources.has(name) && !isPlaceholder) sources.set(name, () => tensor)
    }
    this.#sources = sources
    this.tensors = new NamedTensors(
      () => sources,
      (name, source) => {
        this.checkOpen()
        return renamed(source(), name)
      },
    )
    const places = new Map((isZero ? names : [...sources.keys()]).map((name) => [name, name]))
    this.#weights = new NamedTensors(
      () => places,
      (name) => this.tensors.get(name)!,
    )
  }

  get era(): string {
    return this.#model.content.era
  }

  /** The model states of the first rank. */
  get root(): unknown {
    return this.#model.content.root
  }

  stateDict(from: string | undefined): ReadonlyMap<string, Tensor> {
    return from === undefined ? this.#weights : this.#model.content.stateDict(from)
  }

  get skipped(): readonly Skipped[] {
    if (this.#skipped === undefined) {
      this.checkOpen()
      this.#skipped = Object.freeze(this.#failures().map((entry) => Object.freeze(entry)))
    }
    return this.#skipped
  }

  /** A flat vector goes by the names of the weights in it. */
  override units(): readonly Unit[] {
    let users: ReadonlyMap<Storage, readonly string[]> | undefined
    const names = (content: FileContent) => {
      users ??= this.#users()
      const found = new Map<number, string[]>()
      for (const [record, own] of content.tensorsByRecord()) {
        const used = own.flatMap((name) => {
          const { storage } = content.tensors.get(name)!
          return (storage && users!.get(storage)) ?? [name]
        })
        found.set(record, [...new Set(used)])
      }
      return found
    }
    return super.units().map((unit) => ({ ...unit, names }))
  }

  protected override release(): void {
    this.#made.close()
    for (const part of this.parts) part.close()
  }

  /** The tensors of the checkpoint by the storages their elements lie in, as far as known. */
  #users(): Map<Storage, string[]> {
    const users = new Map<Storage, string[]>()
    for (const [name, source] of this.#sources) {
      let bases: readonly Tensor[]
      try {
        bases = basesOf(source())
      } catch (error) {
        if (!isLoss(error)) throw error
        continue
      }
      for (const { storage } of new Set(bases)) {
        if (storage === undefined) continue
        const known = users.get(storage)
        if (known === undefined) users.set(storage, [name])
        else if (known.at(-1) !== name) known.push(name)
      }
    }
    return users
  }

  /** A buffer is given as float32 where it is a float of another width. */
  #buffer(name: string, tensor: Tensor): Source {
    const isPlain = tensor.layout === 'strided' && Object.keys(tensor.parts).length === 0
    const isWide = tensor.dtype === 'float32' || !tensor.dtype.includes('float')
    if (isWide || !isPlain || tensor.isMeta) return () => tensor
    const fill = (target: ArrayBuffer) => new Float32Array(target).set(tensor.toFloat32())
    return () => {
      const { shape } = tensor
      const row = this.#made.add({ dtype: 'float32', shape, key: name, fill })
      return put(this.#made.tensor(row, name), [tensor])
    }
  }

  /** In stage 3 each rank has a share of a frozen parameter, in the others the first has it all. */
  #frozen(
    name: string,
    isShared: boolean,
    models: readonly PartFile[],
    shape: readonly number[],
  ): Source {
    if (!isShared) return () => fragmentOf(this.#model, name)
    return () => {
      const flats = models.map((part) =>
        flat(fragmentOf(part, name), part, `the fragment of '${name}'`),
      )
      const lengths = flats.map(({ size }) => size)
      const total = lengths.reduce((a, b) => a + b, 0)
      const count = numel(shape)
      if (count > total) {
        const message = `frozen parameter '${name}' has ${count} elements, its fragments ${total}`
        throw bad(this.#model, message)
      }
      const pieces = piecesOf(lengths, (i) => flats[i]!, 0, count)
      return assembled(this.#made, name, shape, flats[0]!.dtype, pieces)
    }
  }

  #failures(): Skipped[] {
    const failures: Skipped[] = []
    for (const name of this.tensors.keys()) {
      try {
        this.tensors.get(name)
      } catch (error) {
        failures.push(skip(name, error))
      }
    }
    for (const part of this.parts) {
      try {
        failures.push(...part.content.skipped)
      } catch (error) {
        // The tensors that need it are listed.
        if (!isLoss(error)) throw error
      }
    }
    return failures
  }
}

function fragmentOf(part: PartFile, name: string): Tensor {
  const found = modelStates(part).frozenFragments.get(name)
  if (found !== undefined) return found
  throw bad(part, `there is no fragment of frozen parameter '${name}'`)
}

/** The names of weights and what makes them, of the partitions of an optimizer. */
export function weightsOf(partitions: Partitions | undefined): {
  names: Iterable<string>
  make: (session: MadeSession, name: string) => Tensor
} {
  if (partitions === undefined) {
    return {
      names: [],
      make: () => {
        throw new Error('there are no weights')
      },
    }
  }
  return { names: partitions.names, make: (session, name) => partitions.tensor(session, name) }
}

function once(make: Source): Source {
  let made: Tensor | undefined
  return () => {
    made ??= make()
    return made
  }
}
