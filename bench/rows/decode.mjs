// The pickle alone: the same bytes, out of memory, through every machine that decodes them.

import { pathOf } from '../inputs.mjs'
import { play } from '../rounds.mjs'
import { digits, medianOf, ratioText, times } from '../table.mjs'

const native = { id: 'decode', kind: 'native', job: 'decode' }
const torchmap = { id: 'torchmap', kind: 'torchmap' }

const MACHINES = [
  {
    key: 'core',
    loader: native,
    what: 'decode',
    label: "torchmap's pickle machine",
    says: 'the core alone, bytes to nodes; no JavaScript values',
  },
  {
    key: 'pickle',
    loader: { id: 'pickle', kind: 'python' },
    what: 'decode',
    label: 'CPython `pickle`',
    says: 'the unpickler in C with stubs for classes and persistent ids; Python objects',
  },
  {
    key: 'pickleparser',
    loader: { id: 'pickleparser', kind: 'node' },
    what: 'decode',
    label: 'pickleparser',
    says: '`Parser.parse()` with Maps and stand-ins for classes; JavaScript values',
  },
  {
    key: 'open',
    loader: torchmap,
    what: 'open',
    isWhole: true,
    label: 'torchmap `openSync()`',
    says: 'the whole checkpoint: mapping, directory, pickle, tensors, tables',
  },
  {
    key: 'root',
    loader: torchmap,
    what: 'root',
    isWhole: true,
    label: 'torchmap `openSync().root`',
    says: 'the same and the saved value as JavaScript values, Maps and all',
  },
]

async function table(input, title, pace) {
  const entries = MACHINES.map(({ loader, what, isWhole }) => ({
    loader,
    what,
    path: pathOf(input, isWhole ? 'pth' : 'pkl'),
  }))
  const cells = await play(entries, pace)
  const data = Object.fromEntries(MACHINES.map(({ key }, i) => [key, cells[i]]))
  const opcodes = data.core.tensors
  const rows = MACHINES.map(({ key, label, says }) => [
    label,
    times(data[key]),
    ratioText(data[key], data.core),
    medianOf(data[key]) === undefined ? '-' : digits((1e6 * medianOf(data[key])) / opcodes),
    says,
  ])
  const header = ['ms', 'time', 'times the core', 'ns for each opcode', 'what it does']
  const about = `${opcodes?.toLocaleString('en')} opcodes.`
  return { id: `decode-${input}`, title, about, header, rows, data }
}

export default {
  id: 'decode',
  inputs: ['vocabulary', 'tensors-100000'],
  async run({ pace }) {
    return [
      await table('vocabulary', 'Pickle alone: a vocabulary of 500,000 tokens', pace),
      await table('tensors-100000', 'Pickle alone: 100,000 tensors', pace),
    ]
  },
}
