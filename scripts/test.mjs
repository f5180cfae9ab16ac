// test.mjs [native | js] [arguments for the runner]: the core's tests without Node, jest, or both.

import { buildNative, close, runCoreTests, runJest } from './run.mjs'

const [suite, ...args] = process.argv.slice(2)

function native() {
  buildNative('core_tests', ['--CDTORCHMAP_TESTS=ON'])
  return runCoreTests('build', args)
}

if (suite === 'native') close([native()])
else if (suite === 'js') close([runJest(args)])
else close([native(), runJest([])])
