/**
 * Opens PyTorch checkpoints without Python. The file is mapped, its pickle is decoded without
 * running anything, and tensors come as typed arrays over the mapped pages.
 *
 * @example
 * ```ts
 * import { open } from 'torchmap'
 *
 * await using checkpoint = await open('resnet18.pth')
 * for (const [name, tensor] of checkpoint.stateDict()) {
 *   console.log(name, tensor.dtype, tensor.shape, tensor.data)
 * }
 * ```
 *
 * @packageDocumentation
 */
export type { PartRole } from './catalog'
export { Checkpoint } from './checkpoint'
export type { FileIdentity, Format, Part, Skipped } from './content'
export type { TensorJson } from './describe'
export type { DType, TensorData } from './dtype'
export {
  CheckpointError,
  type ErrorCode,
  type ErrorOf,
  FormatError,
  isCheckpointError,
  LimitError,
  RemoteError,
  StateError,
  UnsafeError,
  UnsupportedError,
} from './errors'
export type { Producer, TrainingPart } from './flavor/origin'
export type { TrainingKind } from './flavor/parts'
export type { Flavor, Framework } from './flavor/rules'
export type { Unfolded } from './fold'
export { openHandle } from './handle/open'
export type { CheckpointHandle } from './handle/shape'
export { LIMITS, type LimitName, type Limits } from './limits'
export type { LoadEntry, LoadOptions, LoadProgress, ReadIntoOptions, Target } from './load'
export { NumpyArray } from './numpy'
export { type Location, open, openSync, type Source } from './open'
export { type Complex, PyGlobal, PyObject } from './python'
export type { ReadableOptions, ReadableProgress, TensorReadable } from './readable'
export type { ByteSource, Slice } from './remote/object'
export type { RemoteOptions } from './remote/options'
export type { OpenOptions } from './request'
export type { FoldOptions, StateDict, StateDictOptions } from './state-dict'
export { Storage } from './storage'
export type { StreamOptions, StreamProgress } from './stream'
export type { Layout, QScheme } from './tables'
export { Tensor } from './tensor'
export type { RecordVerdict, Verdict, VerifyOptions, VerifyProgress } from './verify'
export type { Progress, WatchOptions } from './watch'
