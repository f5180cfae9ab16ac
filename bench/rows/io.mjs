// What it matters how a file is looked at: torchmap mapping, reading and choosing, beside those that map and those that
// read.

import { LOADERS } from '../contestants.mjs'
import { chill, SHOWN, table } from './loads.mjs'

const WORDS = '`bytes()` of every tensor through the loop'

/** torchmap with one strategy; the one without is `auto`. */
const forced = (io) => ({
  id: `torchmap-${io}`,
  kind: 'torchmap',
  job: io,
  label: `torchmap, \`io: '${io}'\``,
  bytes: WORDS,
})

const PEERS = ['torch', 'torch-mmap', 'torchmap-safetensors', 'safetensors', 'safetensors-rust']
const SIDES = [
  LOADERS.find(({ id }) => id === 'torchmap'),
  forced('mmap'),
  forced('pread'),
  ...LOADERS.filter(({ id }) => PEERS.includes(id)),
]
const ABOUT =
  'Every byte touched, in the order of the file. Cold as in the other cold rows. torchmap without more words is `auto`.'

async function run({ pace }) {
  const loaders = SIDES
  const clocks = ['bytes']
  const few = { ...pace, warmups: 1, rounds: 5, least: 5, turn: 0, resumes: false, warming: 0 }
  const title = (cache) => `${SHOWN.large}, by \`io\`; ${cache} page cache`
  const warm = await table('large', { pace: few, loaders, clocks })
  const cold = await table('large', { pace: few, loaders, clocks, prepare: chill })
  return [
    { id: 'io-warm', title: title('warm'), about: ABOUT, ...warm },
    { id: 'io-cold', title: title('cold'), about: ABOUT, ...cold },
  ]
}

export default { id: 'io', inputs: ['large'], run }
