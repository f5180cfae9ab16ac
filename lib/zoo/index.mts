/**
 * `torchmap/zoo` for `import`.
 */
export type * from './index.js'
export {
  diffCheckpoints,
  RULES,
  readExpected,
  scanFiles,
  scanSafety,
  scanSafetySync,
  verifyZoo,
  writeReport,
} from './index.js'
