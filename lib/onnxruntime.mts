/**
 * `torchmap/onnxruntime` for `import`.
 */
export type * from './onnxruntime.js'
export { feedsOf, toOrt } from './onnxruntime.js'
