/**
 * Where tensors have from what they are: a tensor itself is a place here alone, since every field
 * of it would cost each of a hundred thousand.
 */
import type { PartRole } from './catalog'
import type { TensorData } from './dtype'
import type { Session } from './session'
import type { Tensor } from './tensor'

/** What few tensors are asked for, once it was. */
export interface Made {
  /** Of a nested tensor. */
  shape?: readonly number[]
  parts?: Readonly<Partial<Record<PartRole, Tensor>>>
  dense?: TensorData
  rows?: readonly Tensor[]
}

/** One for all tensors of a map, mostly. */
export abstract class Home {
  readonly session: Session
  #made: Map<number, Made> | undefined

  constructor(session: Session) {
    this.session = session
  }

  abstract nameOf(position: number): string
  /** Where it is in the catalog. */
  abstract rowAt(position: number): number

  /** What was made of a tensor so far. */
  madeOf(position: number): Made {
    this.#made ??= new Map()
    let made = this.#made.get(position)
    if (made === undefined) {
      made = {}
      this.#made.set(position, made)
    }
    return made
  }
}

/** Of a tensor that is in no map of its session. */
export class OneName extends Home {
  readonly #name: string
  readonly #row: number

  constructor(session: Session, row: number, name: string) {
    super(session)
    this.#row = row
    this.#name = name
  }

  override nameOf(): string {
    return this.#name
  }

  override rowAt(): number {
    return this.#row
  }
}
