/**
 * Where a checkpoint comes from and what of it only training needs, each found when first asked
 * for: by the outline of the root, and for the sizes of parts by names and the root itself.
 */
import { NumpyArray } from '../numpy'
import { Tensor } from '../tensor'
import { attributesOf, Evidence, type Subject, within } from './evidence'
import { type FoundPart, isUnder, partsOf, StorageBytes, type TrainingKind } from './parts'
import { type Flavor, type Framework, frameworkOf, RULES } from './rules'

/** What is known about the writer. */
export interface Producer {
  /** The versions of torch that write such a file: {@link Checkpoint.era}. */
  readonly torch: string
  /** The package that called torch, where the checkpoint has its marks. */
  readonly framework?: Framework
}

/** A part of a checkpoint that only training needs. */
export interface TrainingPart {
  readonly kind: TrainingKind
  /**
   * Where it is: `stateDict({ from: path })` gives its tensors. Empty where the whole checkpoint is
   * the part.
   */
  readonly path: string
  /** Names of tensors in it. */
  readonly tensors: number
  /** Of its storages, each counted once, and of its numpy arrays and byte strings. */
  readonly bytes: number
}

/** Flavours whose root is one part as a whole. */
const WHOLE: Partial<Record<Flavor, TrainingKind>> = {
  optimizer: 'optimizer',
  scheduler: 'scheduler',
  scaler: 'scaler',
  accelerate: 'random_state',
}

export class Origin {
  readonly #evidence: Evidence
  #found: { flavor: Flavor; producer: Producer } | undefined
  #training: readonly TrainingPart[] | undefined

  constructor(subject: Subject) {
    this.#evidence = new Evidence(subject)
  }

  get flavor(): Flavor {
    return this.#origin.flavor
  }

  get producer(): Producer {
    return this.#origin.producer
  }

  get training(): readonly TrainingPart[] {
    this.#training ??= Object.freeze(this.#measured(this.#parts()))
    return this.#training
  }

  get #origin() {
    if (this.#found === undefined) {
      const evidence = this.#evidence
      const rule = RULES.find(({ matches }) => matches(evidence))
      const framework = frameworkOf(rule, evidence)
      const torch = evidence.subject.era
      const producer = Object.freeze(framework === undefined ? { torch } : { torch, framework })
      this.#found = { flavor: rule?.flavor ?? 'unknown', producer }
    }
    return this.#found
  }

  #parts(): FoundPart[] {
    const whole = this.#whole()
    if (whole !== undefined) return [{ kind: whole, path: '', at: [] }]
    const { flavor } = this
    const isOfModels = flavor === 'state_dict' || flavor === 'torchscript' || flavor === 'package'
    return isOfModels || flavor === 'pt2' ? [] : partsOf(this.#evidence.root)
  }

  #whole(): TrainingKind | undefined {
    const { flavor } = this
    if (flavor !== 'huggingface') return WHOLE[flavor]
    const { root, dict, subject } = this.#evidence
    if (subject.format === 'safetensors') return undefined
    return root instanceof Map && dict.has('cpu') ? 'random_state' : 'arguments'
  }

  #measured(parts: readonly FoundPart[]): TrainingPart[] {
    const sums = parts.map(() => ({ tensors: 0, storages: new StorageBytes(), values: 0 }))
    if (parts.length === 0) return []
    let last = 0
    for (const [name, tensor] of this.#evidence.subject.tensors) {
      // Names of one part come one behind the other.
      if (!isUnder(parts[last]!.path, name)) {
        const found = parts.findIndex(({ path }) => isUnder(path, name))
        if (found < 0) continue
        last = found
      }
      const sum = sums[last]!
      ++sum.tensors
      sum.storages.add(tensor)
    }
    parts.forEach(({ kind, at }, i) => {
      // The state of an optimizer is tensors and numbers.
      if (kind !== 'optimizer') this.#addValues(sums[i]!, at)
    })
    return parts.map(({ kind, path }, i) => {
      const { tensors, storages, values } = sums[i]!
      return Object.freeze({ kind, path, tensors, bytes: storages.bytes + values })
    })
  }

  /** Adds what has bytes but no name. */
  #addValues(sum: { storages: StorageBytes; values: number }, at: FoundPart['at']): void {
    let value = this.#evidence.subject.root
    for (const step of at) {
      if (Array.isArray(value)) value = value[step as number]
      else value = value instanceof Map ? value.get(step) : attributesOf(value).get(step)
    }
    for (const found of within(value)) {
      if (found instanceof NumpyArray || found instanceof Uint8Array) sum.values += found.byteLength
      else if (found instanceof Tensor && found.name === '') sum.storages.add(found)
    }
  }
}
