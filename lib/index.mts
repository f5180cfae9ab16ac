/**
 * The same package for `import`. Names are listed, because a star would bring CommonJS's own along.
 */
export type * from './index.js'
export {
  Checkpoint,
  CheckpointError,
  diffCheckpoints,
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
  RULES,
  readExpected,
  StateError,
  Storage,
  Tensor,
  UnsafeError,
  UnsupportedError,
  verifyZoo,
} from './index.js'
