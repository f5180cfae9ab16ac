// test-asan.mjs [native | js] [arguments for the runner]: the core's tests, and the jest files that feed
// the addon hostile input or end lifetimes early, under AddressSanitizer and UndefinedBehaviorSanitizer.
// GCC on Linux only: Node itself is not instrumented, so the runtime library is preloaded.

import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  buildNative,
  builtAddon,
  close,
  inTemporaryFolder,
  root,
  runCoreTests,
  runJest,
} from './run.mjs'

const build = 'build-asan'
const [suite, ...args] = process.argv.slice(2)

const strict = 'detect_stack_use_after_return=1:strict_string_checks=1'
const env = {
  // Node frees little at exit, so its leaks say nothing about ours.
  ASAN_OPTIONS: `${strict}:detect_leaks=0`,
  UBSAN_OPTIONS: 'print_stacktrace=1',
}

function compile(target) {
  const tree = ['--out', build, '--config', 'RelWithDebInfo', '--CDCMAKE_UNITY_BUILD=ON']
  buildNative(target, [...tree, '--CDTORCHMAP_SANITIZE=ON', '--CDTORCHMAP_TESTS=ON'])
}

function native() {
  compile('core_tests')
  return runCoreTests(build, args, { env: { ...env, ASAN_OPTIONS: strict } })
}

// A copy of the checkout with the other addon in the usual place: lib/ needs no switch to load it.
function stage(folder) {
  for (const name of [
    'package.json',
    'jest.config.mjs',
    'bin',
    'dist',
    'lib',
    'test',
    'examples',
  ]) {
    const source = join(root, name)
    if (existsSync(source)) cpSync(source, join(folder, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  mkdirSync(dirname(join(folder, builtAddon)), { recursive: true })
  copyFileSync(join(root, build, 'RelWithDebInfo/torchmap.node'), join(folder, builtAddon))
}

function js() {
  compile('torchmap')
  const runtimes = ['libasan.so', 'libstdc++.so'].map((name) =>
    String(execFileSync('c++', [`-print-file-name=${name}`])).trim(),
  )
  const patterns = args.length > 0 ? args : ['hostile', 'lifetime']
  return inTemporaryFolder((folder) => {
    stage(folder)
    return runJest(['--runInBand', ...patterns], {
      cwd: folder,
      env: { ...env, LD_PRELOAD: runtimes.join(' ') },
    })
  })
}

if (suite === 'native') close([native()])
else if (suite === 'js') close([js()])
else close([native(), js()])
