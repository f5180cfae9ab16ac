/**
 * What is said of one model: one shape in every machine format, described by
 * docs/result.schema.json.
 */
import type { Format } from '../content'
import type { DType } from '../dtype'
import type { Flavor } from '../flavor/rules'
import type { RuleId, Severity } from './rules'

/** What the checksums of the archive say. `none`: the format has none. */
export type Integrity = 'ok' | 'mismatch' | 'absent' | 'none' | 'unreadable'

/**
 * What loading it with Python could do. `incomplete`: something in it could not be read to the end,
 * so that nobody can say.
 */
export type Safety = 'safe' | 'needs-review' | 'dangerous' | 'incomplete'

export type Status = 'ok' | 'warning' | 'error'

/** Something that is wrong, wasted, or worth knowing. */
export interface Finding {
  readonly rule: RuleId
  readonly severity: Severity
  /** One sentence. */
  readonly message: string
  /** The file of the model it is about, where that is not {@link Result.path}. */
  readonly path?: string
  readonly record?: string
  readonly tensor?: string
  /** Bytes from the start of the file. */
  readonly offset?: number
  /** One sentence: what to do about it. */
  readonly remedy: string
}

/** A class or function that a pickle names. */
export interface NamedGlobal {
  /** `module.name` */
  readonly name: string
  readonly verdict: 'safe' | 'unknown' | 'dangerous'
  /** Whether the pickle calls it, or only names it. */
  readonly isCalled: boolean
  /**
   * From the outermost call that it is an argument of down to its own, as `module.name`; empty where
   * it is not called.
   */
  readonly chain: readonly string[]
  readonly record?: string
  /** Bytes from the start of the record or the file. */
  readonly offset: number
}

/** The values of a tensor, as real numbers. */
export interface ValueStatistics {
  /** Of the finite ones; nothing where there are none. */
  readonly min?: number
  readonly max?: number
  readonly mean?: number
  /** Elements. */
  readonly nan: number
  readonly infinite: number
  readonly zero: number
  /** Elements in equal steps from {@link min} to {@link max}; empty unless it was asked for. */
  readonly histogram: readonly number[]
}

/** One tensor of the model; only where it was asked for. */
export interface TensorDetail {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly bytes: number
  /** SHA-256 of dtype, shape and elements: the same in every container. */
  readonly digest?: string
  readonly values?: ValueStatistics
}

export interface Result {
  readonly path: string
  /** Nothing for what could not be opened. */
  readonly format?: Format
  readonly flavor?: Flavor
  /** Who wrote it, in words. */
  readonly producer?: string
  readonly status: Status
  readonly integrity: Integrity
  readonly safety: Safety
  readonly globals: readonly NamedGlobal[]
  /** How many there are. */
  readonly tensors: number
  /** Bytes of all files. */
  readonly bytes: number
  readonly ms: number
  readonly findings: readonly Finding[]
  /** SHA-256 of each file, by path; only where it was asked for. */
  readonly files?: Readonly<Record<string, string>>
  readonly details?: readonly TensorDetail[]
}
