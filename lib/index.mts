/**
 * The same package for `import`. Names are listed, because a star would bring CommonJS's own along.
 */
export type * from './index.js'
export {
  Checkpoint,
  CheckpointError,
  FormatError,
  isCheckpointError,
  LIMITS,
  LimitError,
  NumpyArray,
  open,
  openHandle,
  openSync,
  PyGlobal,
  PyObject,
  RemoteError,
  StateError,
  Storage,
  Tensor,
  UnsafeError,
  UnsupportedError,
} from './index.js'
