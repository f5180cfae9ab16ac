// What the machine can do at best, in the same run; and the core's CRC-32 alone, compared with zlib's.

import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { pathOf } from '../inputs.mjs'
import { play } from '../rounds.mjs'
import { speed, times } from '../table.mjs'

const MIB = 2 ** 20
const COPIED = 256 * MIB
const CACHED = 256 * 1024

function jobs(path) {
  const size = statSync(path).size
  const job = (key, id, what, subject, bytes, label) => ({
    key,
    loader: { id, kind: 'native', job: id },
    what,
    path: String(subject),
    bytes,
    label,
  })
  return [
    job('map', 'mapping', 'names', path, 0, 'open, fstat and mmap of 1 GiB, nothing touched'),
    job('touch', 'mapping', 'bytes', path, size, 'the same and every byte of it: the C loop'),
    job(
      'reused',
      'memcpy',
      'reused',
      COPIED,
      2 * COPIED,
      'memcpy of 256 MiB, memory that has its pages',
    ),
    job('fresh', 'memcpy', 'fresh', COPIED, 2 * COPIED, 'memcpy of 256 MiB into fresh memory'),
    job(
      'reused-threads',
      'memcpy-threads',
      'reused',
      COPIED,
      2 * COPIED,
      'memcpy, pages there, all cores',
    ),
    job(
      'fresh-threads',
      'memcpy-threads',
      'fresh',
      COPIED,
      2 * COPIED,
      'memcpy, fresh memory, all cores',
    ),
    job(
      'crc',
      'crc32',
      'memory',
      path,
      size,
      "torchmap's CRC-32, one thread, 1 GiB that is mapped",
    ),
    job(
      'crc-cached',
      'crc32-cached',
      'cache',
      CACHED,
      1024 * MIB,
      'the same, 256 KiB again and again',
    ),
  ]
}

/** CRC-32 of a file as zlib has it. */
function zlibCrc(path) {
  if (crc32 === undefined) return undefined
  const file = openSync(path)
  const buffer = Buffer.alloc(16 * MIB)
  let crc = 0
  for (let at = 0; at < fstatSync(file).size; ) {
    const count = readSync(file, buffer, 0, buffer.length, at)
    crc = crc32(buffer.subarray(0, count), crc)
    at += count
  }
  closeSync(file)
  return crc
}

function compared(sum, path) {
  const expected = zlibCrc(path)
  if (expected === undefined) return 'Not compared with zlib: this Node has no zlib.crc32.'
  if (sum === undefined) return 'Not compared with zlib.'
  const isSame = Number.parseInt(sum, 16) === expected
  return `CRC-32 of the file by torchmap and by zlib: ${isSame ? 'the same' : 'NOT the same'}.`
}

export default {
  id: 'limits',
  inputs: ['large'],
  async run({ pace }) {
    const path = pathOf('large')
    const wanted = jobs(path)
    const cells = await play(wanted, pace)
    const data = Object.fromEntries(wanted.map(({ key }, i) => [key, cells[i]]))
    const rows = wanted.map(({ label, bytes }, i) => [
      label,
      times(cells[i]),
      bytes === 0 ? '-' : speed(cells[i], bytes),
    ])
    const about = `GB/s are 10^9 bytes, for copies those read and those written together. ${compared(data.crc.sum, path)}`
    data.bytes = Object.fromEntries(wanted.map(({ key, bytes }) => [key, bytes]))
    const header = ['ms', 'time', 'GB/s']
    return [{ id: 'limits', title: 'What the machine can do', about, header, rows, data }]
  },
}
