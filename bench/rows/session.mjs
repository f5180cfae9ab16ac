// Single operations in one process, timed by the package benchmark; and what wrapping tensors costs the collector.

import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pathOf } from '../inputs.mjs'
import { median } from '../statistics.mjs'
import { digits, times } from '../table.mjs'

const loaders = join(dirname(fileURLToPath(import.meta.url)), '../loaders')

/** What a script of loaders/ prints, in a process of its own. */
function printed(script, ...args) {
  const command = ['--expose-gc', join(loaders, script), ...args.map(String)]
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${script}: ${stderr.trim().split('\n').at(-1)}`)
  return JSON.parse(stdout)
}

const cellOf = (samples) => ({ samples: samples.map((ms, round) => ({ ms, round })) })

export const session = {
  id: 'session',
  inputs: ['resnet18', 'tensors-10000'],
  async run({ pace }) {
    return this.inputs.map((input) => {
      const { results, tensors } = printed('session.mjs', pathOf(input), pace.rounds / 7)
      const rows = results.map(({ name, about, samples }) => {
        const per = (1e6 * median(samples)) / tensors
        return [name, about, times(cellOf(samples)), digits(per)]
      })
      return {
        id: `session-${input}`,
        title: `One process: ${input}, ${tensors.toLocaleString('en')} tensors`,
        about: 'Timed by benchmark; garbage is collected when V8 wants to.',
        header: ['ms', 'for', 'time', 'ns for each tensor'],
        rows,
        data: Object.fromEntries(results.map(({ name, samples }) => [name, cellOf(samples)])),
      }
    })
  },
}

const HEAPS = [4, 142]

export const pressure = {
  id: 'gc-pressure',
  inputs: ['growth-8', 'large', 'tensors-100000'],
  mayMiss: true,
  async run({ pace, there }) {
    const rows = []
    const data = {}
    for (const input of there) {
      for (const heap of HEAPS) {
        const runs = Array.from({ length: Math.min(pace.rounds, 3) }, () =>
          printed('pressure.mjs', pathOf(input), heap),
        )
        const middle = (of) => median(runs.map(of))
        data[`${input}-${heap}`] = cellOf(runs.map(({ ms }) => ms))
        rows.push([
          `${input}: ${runs[0].tensors.toLocaleString('en')} tensors, ${digits(runs[0].bytes / 2 ** 30)} GiB`,
          digits(middle((run) => run.heap)),
          times(data[`${input}-${heap}`]),
          runs[0].buffers,
          middle(({ collections }) => collections.major),
          middle(({ collections }) => collections.minor),
          digits(middle(({ collections }) => collections.ms)),
        ])
      }
    }
    return [
      {
        id: 'gc-pressure',
        title: 'gc-pressure: every tensor wrapped while other objects are alive',
        about:
          '`openSync()` and `tensor.data` of every tensor in a new process, beside a live heap; mark-compacts and scavenges as perf_hooks counts them.',
        header: [
          'input',
          'heap, MiB',
          'ms',
          'buffers',
          'mark-compacts',
          'scavenges',
          'ms collecting',
        ],
        rows,
        data,
      },
    ]
  },
}
