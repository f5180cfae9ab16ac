/**
 * Answers for whole trees of models: the export `torchmap/zoo`.
 *
 * @example
 * ```ts
 * import { verifyZoo } from 'torchmap/zoo'
 *
 * for await (const { path, status, safety, findings } of verifyZoo('models')) {
 *   console.log(path, status, safety, findings.map(({ message }) => message))
 * }
 * ```
 *
 * @packageDocumentation
 */
export { type Expected, readExpected } from './complete'
export {
  type CheckpointDifference,
  type DiffOptions,
  type DiffProgress,
  diffCheckpoints,
  type LoneTensor,
  type TensorDifference,
  type ValueDifference,
} from './diff'
export {
  type ReportFormat,
  type ReportOptions,
  type Write,
  writeReport,
} from './report/report'
export type {
  Finding,
  Integrity,
  NamedGlobal,
  Result,
  Safety,
  Status,
  TensorDetail,
  ValueStatistics,
} from './result'
export { RULES, type RuleId, type Severity } from './rules'
export type { SafetyScan } from './safety/report'
export {
  type FileScan,
  type SafetyOptions,
  scanFiles,
  scanSafety,
  scanSafetySync,
} from './safety/scan'
export type { FailOn, Summary } from './summary'
export { type VerifyZooOptions, verifyZoo } from './verify'
