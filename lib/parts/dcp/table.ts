/** What the index of a distributed checkpoint says, checked. */
import type { DTypeInfo } from '../../dtype'
import type { CheckpointError } from '../../errors'
import type { Box } from './tiling'

/** Bytes [offset, offset + length) of a file of the directory. */
export interface Place {
  readonly file: string
  readonly offset: number
  readonly length: number
}

export interface Chunk extends Box {
  readonly place: Place
}

export interface TensorItem {
  readonly kind: 'tensor'
  readonly dtype: DTypeInfo
  readonly shape: readonly number[]
  readonly requiresGrad: boolean
  /** Those that have elements: together all of the tensor, unless there is an error. */
  readonly chunks: readonly Chunk[]
  readonly error?: CheckpointError
}

/** Any object, as torch.save writes it. */
export interface BytesItem {
  readonly kind: 'bytes'
  readonly place: Place
}

/** An item of which not even the kind, dtype or shape is known. */
export interface BrokenItem {
  readonly kind: 'broken'
  readonly error: CheckpointError
}

export type Item = TensorItem | BytesItem | BrokenItem

/** Keys and list indices that lead to a value. */
export type Path = readonly (string | number)[]

export interface Table {
  /** By flattened name, in the order of the file. */
  readonly items: ReadonlyMap<string, Item>
  /** Where items lie in the saved value; nothing where the planner did not flatten it. */
  readonly paths: ReadonlyMap<string, Path> | undefined
}
