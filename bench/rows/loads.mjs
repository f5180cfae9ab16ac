// The three clocks of every loader: names and shapes, every byte touched, every byte touched and its CRC-32 verified.

import { LOADERS, MAPPING, pinned } from '../contestants.mjs'
import { pathOf } from '../inputs.mjs'
import { play } from '../rounds.mjs'
import { first, ratioText, resumed, times } from '../table.mjs'
import { hasTools, tools } from '../tools.mjs'

export const CLOCKS = ['names', 'bytes', 'verified']
export const SHOWN = {
  resnet18: 'ResNet-18, 122 entries, 45 MiB',
  'tensors-10000': '10,000 tensors of 128 bytes',
  'tensors-100000': '100,000 tensors of 128 bytes',
  vocabulary: 'a vocabulary of 500,000 tokens beside two tensors',
  adam: 'ResNet-18 with the state of AdamW, 308 tensors, 134 MiB',
  large: '1 GiB in 300 tensors',
}
const TWICE = new Set(['resnet18', 'tensors-10000', 'tensors-100000', 'large'])

function pathFor({ id, format }, input) {
  if (id.startsWith('candle') && input === 'adam') return `${pathOf(input)}#model`
  return pathOf(input, format ?? 'pth')
}

function loadersOf(input, clock, candidates) {
  return candidates.filter(
    (loader) => loader[clock] !== undefined && (loader.format === undefined || TWICE.has(input)),
  )
}

/** What a loader gave that is not what torch, or the first one that gave anything, has given. */
function compare(cells) {
  const given = ['torch', 'torchmap', ...Object.keys(cells)].map((id) => cells[id])
  const reference = given.find((cell) => cell?.tensors !== undefined && cell !== cells.mapping)
  for (const [id, cell] of Object.entries(cells)) {
    if (id.startsWith('mapping') || cell.tensors === undefined) continue
    if (cell.tensors !== reference.tensors)
      cell.note = `${cell.tensors} of ${reference.tensors} tensors`
    else if (cell.sum !== reference.sum && cell.sum !== undefined) cell.note = 'other bytes'
  }
}

/** The cells of one clock by loader. */
async function clocked(input, clock, { pace, loaders, prepare }) {
  const chosen = loadersOf(input, clock, loaders)
  console.error(`${input}: ${clock}, ${chosen.length} loaders`)
  const entries = chosen.map((loader) => ({
    loader,
    what: loader.id.startsWith('mapping') ? 'bytes' : clock,
    path: pathFor(loader, input),
  }))
  const played = await play(entries, pace, prepare)
  const cells = Object.fromEntries(chosen.map(({ id }, i) => [id, played[i]]))
  compare(cells)
  return cells
}

export async function table(input, { pace, loaders, prepare, clocks = CLOCKS }) {
  const data = {}
  for (const clock of clocks) data[clock] = await clocked(input, clock, { pace, loaders, prepare })
  const seen = loaders.filter(({ id }) => clocks.some((clock) => data[clock][id] !== undefined))
  const rows = seen.map(({ id, label }) => [
    label,
    ...clocks.flatMap((clock) => {
      const cell = data[clock][id]
      // The loop over the mapping is the floor of the clock behind it, too.
      const base = data[clock].torchmap ?? data[clock]['torchmap-pinned']
      return [times(cell), ratioText(cell, base)]
    }),
    ...(pace.resumes ? [resumed(data[clocks[0]][id])] : []),
    first(data[clocks[0]][id]),
  ])
  const headings = { names: 'names and shapes', bytes: 'every byte', verified: 'and its CRC-32' }
  const header = [
    'ms',
    ...clocks.flatMap((clock) => [headings[clock], 'times torchmap']),
    ...(pace.resumes ? ['after a pause'] : []),
    'first run',
  ]
  return { header, rows, data }
}

const ALL = [...LOADERS, MAPPING]
// On one core, where nothing has the advantage of threads.
const ONE_CORE = ALL.filter(({ id }) =>
  ['torchmap', 'mapping', 'pytorch-reader', 'safetensors-rust', 'testzip'].includes(id),
).map(pinned)

/** Warm page cache: one table for each input. */
export const warm = Object.keys(SHOWN).map((input) => ({
  id: input,
  inputs: [input],
  async run({ pace }) {
    const made = await table(input, { pace, loaders: ALL })
    return [{ id: input, title: `${SHOWN[input]}; warm page cache`, ...made }]
  },
}))

export const oneCore = {
  id: 'one-core',
  inputs: ['large'],
  async run({ pace }) {
    const made = await table('large', { pace, loaders: ONE_CORE, clocks: ['bytes', 'verified'] })
    const about = 'Every process is held to one core with taskset, so that threads are no help.'
    return [{ id: 'one-core', title: `${SHOWN.large}; warm, one core`, about, ...made }]
  },
}

/** Asks the system to drop the file, and looks whether it did. */
export function chill(subject) {
  const path = subject.split('#')[0]
  if (!hasTools() || tools().evict(path) !== 0) return false
  return tools().resident(path) < 0.01
}

const COLD = ['resnet18', 'tensors-10000', 'large']
const ABOUT_COLD =
  'Before each run the file is dropped from the page cache with posix_fadvise, and mincore says that less than a hundredth of it is left; runs where more is left do not count. The disk is the limit here, and what it and the host keep in memory is not known.'

export const cold = COLD.map((input) => ({
  id: `cold-${input}`,
  inputs: [input],
  async run({ pace }) {
    const few = {
      ...pace,
      warmups: 1,
      rounds: Math.min(pace.rounds, 5),
      least: Math.min(pace.least, 3),
      turn: 0,
      resumes: false,
      warming: 0,
    }
    const made = await table(input, { pace: few, loaders: ALL, prepare: chill })
    const title = `${SHOWN[input]}; cold page cache`
    return [{ id: `cold-${input}`, title, about: ABOUT_COLD, ...made }]
  },
}))
