// toFloat32() of 64 MiB of each dtype, beside a memcpy that reads and writes as many bytes.

import { pinned } from '../contestants.mjs'
import { pathOf } from '../inputs.mjs'
import { play } from '../rounds.mjs'
import { ratioText, speed, times } from '../table.mjs'

const SOURCE = 64 * 2 ** 20
const ITEM_BYTES = { bfloat16: 2, float16: 2, float8_e4m3fn: 1, float8_e5m2: 1, int8: 1 }
const torchmap = { id: 'torchmap', kind: 'torchmap', label: 'torchmap' }
const native = (id) => ({ id, kind: 'native', job: id })

function entriesOf(dtype) {
  const moved = SOURCE + (SOURCE / ITEM_BYTES[dtype]) * 4
  const subject = `${dtype} ${pathOf('conversions')}`
  return {
    moved,
    entries: [
      { key: 'fresh', loader: pinned(native('memcpy')), what: 'fresh', path: `${moved / 2}` },
      { key: 'one', loader: pinned(torchmap), what: 'convert', path: subject },
      {
        key: 'freshThreads',
        loader: native('memcpy-threads'),
        what: 'fresh',
        path: `${moved / 2}`,
      },
      { key: 'all', loader: torchmap, what: 'convert', path: subject },
      { key: 'reused', loader: pinned(native('memcpy')), what: 'reused', path: `${moved / 2}` },
      { key: 'core', loader: pinned(native('convert')), what: dtype, path: `${SOURCE}` },
    ],
  }
}

const LABELS = [
  ['one', 'fresh', '`toFloat32()`, one core, fresh memory'],
  ['all', 'freshThreads', '`toFloat32()`, all cores, fresh memory'],
  ['core', 'reused', 'the core alone, one core, memory that has its pages'],
]

export default {
  id: 'conversions',
  inputs: ['conversions'],
  async run({ pace }) {
    const rows = []
    const data = {}
    for (const dtype of Object.keys(ITEM_BYTES)) {
      const { moved, entries } = entriesOf(dtype)
      const cells = await play(entries, pace)
      const by = Object.fromEntries(entries.map(({ key }, i) => [key, cells[i]]))
      data[dtype] = by
      for (const [own, base, label] of LABELS) {
        const share = ratioText(by[base], by[own])
        rows.push([dtype, label, times(by[own]), speed(by[own], moved), times(by[base]), share])
      }
    }
    const about =
      'A memcpy of half the bytes that a conversion reads and writes, in the same round, into memory of the same kind and on as many cores; the last column is the bandwidth of the conversion as a share of its bandwidth.'
    const header = ['64 MiB of', 'what', 'ms', 'GB/s', 'memcpy, ms', 'share of memcpy']
    return [{ id: 'conversions', title: 'To float32', about, header, rows, data }]
  },
}
