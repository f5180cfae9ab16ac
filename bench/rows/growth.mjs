// What opening costs against the size of the file and against the number of tensors; and the memory it takes.

import { Contestant } from '../contestant.mjs'
import { LOADERS, starting } from '../contestants.mjs'
import { pathOf } from '../inputs.mjs'
import { play } from '../rounds.mjs'
import { median } from '../statistics.mjs'
import { digits, times } from '../table.mjs'

const SHOWN = ['torchmap', 'torch-mmap', 'candle', 'pytorch-reader']
const loaders = LOADERS.filter(({ id }) => SHOWN.includes(id))

async function growth(inputs, pace) {
  const data = {}
  for (const input of inputs) {
    const entries = loaders.map((loader) => ({ loader, what: 'names', path: pathOf(input) }))
    const cells = await play(entries, pace)
    data[input] = Object.fromEntries(loaders.map(({ id }, i) => [id, cells[i]]))
  }
  const rows = loaders.map(({ id, label }) => [
    label,
    ...inputs.map((input) => times(data[input][id])),
  ])
  return { rows, data }
}

const BYTES = ['growth-1', 'growth-2', 'growth-4', 'growth-8']
const TENSORS = ['tensors-1000', 'tensors-10000', 'tensors-100000']

export const sizes = {
  id: 'growth',
  inputs: [...BYTES, ...TENSORS],
  mayMiss: true,
  async run({ pace, there }) {
    const bytes = BYTES.filter((input) => there.includes(input))
    const tensors = TENSORS.filter((input) => there.includes(input))
    return [
      {
        id: 'growth-bytes',
        title: 'Names and shapes of 300 tensors in ever larger files',
        header: ['ms', ...bytes.map((input) => `${input.split('-')[1]} GiB`)],
        ...(await growth(bytes, pace)),
      },
      {
        id: 'growth-tensors',
        title: 'Names and shapes of ever more tensors',
        header: ['ms', ...tensors.map((input) => Number(input.split('-')[1]).toLocaleString('en'))],
        ...(await growth(tensors, pace)),
      },
    ]
  },
}

/** What a new process has more of, in MiB, once it has all names and shapes. */
async function added(loader, path, times) {
  const { command, env, absent } = starting(loader)
  if (absent !== undefined) return { absent }
  const samples = []
  for (let i = 0; i < times; ++i) {
    const contestant = new Contestant(command, env)
    try {
      await contestant.start()
      samples.push(await contestant.run('resident', path))
    } catch (error) {
      return { error: error.message }
    } finally {
      await contestant.stop()
    }
  }
  const of = (key) => median(samples.map((sample) => sample[key]))
  return { resident: of('resident'), anonymous: of('anonymous'), file: of('file') }
}

export const residents = {
  id: 'memory',
  inputs: ['growth-8'],
  async run({ pace }) {
    const shown = LOADERS.filter(({ id }) => ['torchmap', 'torch-mmap'].includes(id))
    const data = {}
    for (const loader of shown)
      data[loader.id] = await added(loader, pathOf('growth-8'), Math.min(pace.rounds, 5))
    const rows = shown.map(({ id, label }) => {
      const { absent, error, resident, anonymous, file } = data[id]
      if (resident === undefined)
        return [label, absent ? `absent: ${absent}` : `failed: ${error}`, '-', '-']
      return [label, digits(resident), digits(anonymous), digits(file)]
    })
    return [
      {
        id: 'memory',
        title: 'Memory that names and shapes of 8 GiB in 300 tensors add to a new process',
        about:
          'VmRSS of /proc/self/status, and of it RssAnon and RssFile; medians. Both have their code loaded before.',
        header: ['MiB', 'resident', 'anonymous', 'of files'],
        rows,
        data,
      },
    ]
  },
}
