// Where and when: the head of the results.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import { root } from '../scripts/run.mjs'

const require = createRequire(import.meta.url)

function git(...args) {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}

function commit() {
  const name = git('rev-parse', '--short=12', 'HEAD')
  if (name === undefined) return 'no commit'
  // The results themselves do not make it another state.
  const changed = git(
    'status',
    '--porcelain',
    '--',
    '.',
    ':!bench/RESULTS.md',
    ':!bench/*.svg',
    ':!README.md',
  )
  return changed === '' ? name : `${name}, with changes`
}

function system() {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))[1]
  } catch {
    return type()
  }
}

/** [what, value] of the machine and of everything that took part; `versions` are those the contestants told. */
export function machine(versions) {
  const [{ model }] = cpus()
  return [
    ['Processor', `${model.trim()}, ${availableParallelism()} cores`],
    ['Memory', `${Math.round(totalmem() / 2 ** 30)} GiB`],
    ['System', `${system()}, ${type()} ${release()}`],
    ['Node.js', process.versions.node],
    ['torchmap', `${require('../package.json').version}, commit ${commit()}`],
    ['Peers', [...new Set(versions)].sort().join('; ') || 'none'],
    ['Date', new Date().toISOString().slice(0, 10)],
    ['Load', `${loadavg()[0].toFixed(2)} when it ended; the suite alone makes about 1`],
  ]
}
