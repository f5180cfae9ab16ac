// What the scripts share: running commands, and jest, with counted results.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Path of the addon inside a checkout or package, as lib/binding.ts looks for it. */
export const builtAddon = 'build/Release/torchmap.node'
export const prebuiltAddon = `prebuilds/${process.platform}-${process.arch}/torchmap.node`

/** Runs a command and returns what it printed if `stdio` pipes it; ends this process when it fails. */
export function run(command, args, { cwd = root, env = {}, stdio = 'inherit' } = {}) {
  const result = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  if (result.error) throw result.error
  if (result.status !== 0) {
    console.error(result.stdout ?? '')
    console.error(`${[command, ...args].join(' ')}: ${ending(result)}`)
    process.exit(1)
  }
  return result.stdout
}

/** Builds one native target; `options` choose the tree and what is switched on in it. */
export function buildNative(target, options) {
  const cmakeJs = join(root, 'node_modules/cmake-js/bin/cmake-js')
  const common = ['--log-level', 'warn', '--target', target, '--parallel', '4', ...options]
  run(process.execPath, [cmakeJs, 'configure', ...common])
  run(process.execPath, [cmakeJs, 'build', ...common])
}

/** Calls `use` with a new temporary folder, removed afterwards. */
export function inTemporaryFolder(use) {
  const folder = mkdtempSync(join(tmpdir(), 'torchmap-'))
  // Not `finally`: process.exit() would skip it.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return use(folder)
}

/** Runs jest in `cwd` under `node`; returns {passed, failed}. */
export function runJest(args, { cwd = root, env = {}, node = process.execPath } = {}) {
  return inTemporaryFolder((folder) => {
    const report = join(folder, 'report.json')
    const result = spawnSync(
      node,
      [
        '--expose-gc',
        join(cwd, 'node_modules/jest/bin/jest.js'),
        '--json',
        `--outputFile=${report}`,
        ...args,
      ],
      { cwd, env: { ...process.env, ...env }, stdio: 'inherit' },
    )
    if (!existsSync(report)) return lost('jest', result)
    const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(
      readFileSync(report, 'utf8'),
    )
    return settled('jest', result, numPassedTests, numFailedTests + numRuntimeErrorTestSuites)
  })
}

/** Runs core_tests of a build tree; returns {passed, failed}. */
export function runCoreTests(build, args, { env = {} } = {}) {
  const result = spawnSync(join(root, build, 'core_tests'), args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  })
  process.stdout.write(result.stdout ?? '')
  const counts = /(\d+) passed, (\d+) failed\n$/.exec(result.stdout ?? '')
  if (!counts) return lost('core_tests', result)
  return settled('core_tests', result, Number(counts[1]), Number(counts[2]))
}

/** Prints the closing line; the exit code is 0 only when tests ran and none failed. */
export function close(results) {
  const passed = results.reduce((sum, result) => sum + result.passed, 0)
  const failed = results.reduce((sum, result) => sum + result.failed, 0)
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = passed > 0 && failed === 0 ? 0 : 1
}

// A runner that ran nothing, or that counts no failure yet failed, is a failure itself.
function settled(name, result, passed, failed) {
  if (failed > 0) return { passed, failed }
  if (result.status !== 0) return { ...lost(name, result), passed }
  if (passed > 0) return { passed, failed }
  console.error(`${name}: no test ran`)
  return { passed, failed: 1 }
}

function lost(name, result) {
  console.error(`${name}: ${ending(result)}`)
  return { passed: 0, failed: 1 }
}

function ending({ error, status, signal }) {
  return error?.message ?? (signal ? `killed by ${signal}` : `exit code ${status}`)
}
