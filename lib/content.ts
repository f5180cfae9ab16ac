/**
 * What a checkpoint is made of, whatever it lies in: one file (`file-content.ts`), or several
 * (`parts/`). {@link Checkpoint} is the face of one of these.
 */
import type { CheckpointHandle } from './handle/shape'
import type { Tensor } from './tensor'
import type { Unit } from './verify'

/**
 * How the checkpoint is packed.
 *
 * - `zip`, `legacy`, `tar`: `torch.save` of torch 1.6 on, up to 1.5, up to 0.1.1
 * - `pickle`: a bare pickle
 * - `torchscript`: `torch.jit.save`
 * - `package`: `torch.package`
 * - `pt2`: `torch.export.save`
 * - `safetensors`
 * - `split`: parts that hold a share of the tensors each
 * - `dcp`: `torch.distributed.checkpoint`, a directory
 * - `deepspeed`: ZeRO partitions, a directory
 */
export type Format =
  | 'zip'
  | 'legacy'
  | 'tar'
  | 'pickle'
  | 'torchscript'
  | 'package'
  | 'pt2'
  | 'safetensors'
  | 'split'
  | 'dcp'
  | 'deepspeed'

/** Which file was opened, and in which state: all four change when another file takes its place. */
export interface FileIdentity {
  readonly device: bigint
  readonly inode: bigint
  /** Bytes. */
  readonly size: bigint
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint
}

/** Something that is in the checkpoint but that this package cannot give. */
export interface Skipped {
  /** The name it would have among {@link Checkpoint.tensors}. */
  readonly name: string
  /** An {@link ErrorCode}, or of a part that the system refuses its code, such as `EACCES`. */
  readonly code: string
  readonly message: string
}

/** One file of a checkpoint. */
export interface Part {
  readonly path: string
  /** Whether it has been opened, which happens when something of it is first asked for. */
  readonly isOpen: boolean
}

export interface Content {
  readonly format: Format
  readonly era: string
  readonly byteOrder: 'little' | 'big'
  readonly path: string | undefined
  readonly size: number
  readonly identity: FileIdentity | undefined
  readonly isMapped: boolean
  readonly isSalvaged: boolean
  readonly metadata: ReadonlyMap<string, string> | undefined
  readonly isClosed: boolean
  readonly parts: readonly Part[]
  readonly skipped: readonly Skipped[]
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly root: unknown
  /** The upper levels of the root, where they can be had for less. */
  readonly outline: unknown
  /** The same map each time for the same branch. */
  stateDict(from: string | undefined): ReadonlyMap<string, Tensor>
  /** From which another thread opens the same; see {@link Checkpoint.handle}. */
  handle(): CheckpointHandle
  /** What is checked for damage, each on its own. */
  units(): readonly Unit[]
  /** @throws {@link StateError} `CLOSED` */
  checkOpen(): void
  close(): void
}
