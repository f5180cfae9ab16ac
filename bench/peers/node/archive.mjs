// The records of a zip archive in plain JavaScript: the directory at the end, 64-bit sizes included; nothing is checked.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { inflateSync } from 'fflate'

const MOST_COMMENT = 65557

export class Archive {
  #file
  records = new Map()

  constructor(path) {
    this.#file = openSync(path)
    this.#readDirectory(fstatSync(this.#file).size)
  }

  close() {
    closeSync(this.#file)
  }

  /** Bytes of a record, read into memory of their own. */
  read(name) {
    const { header, stored, size, method } = this.records.get(name)
    const local = this.#bytes(header, 30)
    const start = header + 30 + local.readUInt16LE(26) + local.readUInt16LE(28)
    const bytes = this.#bytes(start, stored)
    return method === 8 ? inflateSync(bytes, { out: new Uint8Array(size) }) : bytes
  }

  #bytes(offset, length) {
    const bytes = Buffer.allocUnsafeSlow(length)
    for (let done = 0; done < length; ) {
      const count = readSync(this.#file, bytes, done, length - done, offset + done)
      if (count === 0) throw new Error('the file ends too early')
      done += count
    }
    return bytes
  }

  #readDirectory(fileSize) {
    const tail = this.#bytes(Math.max(0, fileSize - MOST_COMMENT), Math.min(fileSize, MOST_COMMENT))
    const end = tail.lastIndexOf('PK\x05\x06', undefined, 'latin1')
    if (end < 0) throw new Error('no zip archive')
    let [size, offset] = [tail.readUInt32LE(end + 12), tail.readUInt32LE(end + 16)]
    if (end >= 20 && tail.readUInt32LE(end - 20) === 0x07064b50) {
      const wide = this.#bytes(Number(tail.readBigUInt64LE(end - 12)), 56)
      size = Number(wide.readBigUInt64LE(40))
      offset = Number(wide.readBigUInt64LE(48))
    }
    const directory = this.#bytes(offset, size)
    for (let at = 0; at < size; ) at = this.#readEntry(directory, at)
  }

  #readEntry(directory, at) {
    const [nameEnd, extra, comment] = [28, 30, 32].map((i) => directory.readUInt16LE(at + i))
    let [stored, size] = [directory.readUInt32LE(at + 20), directory.readUInt32LE(at + 24)]
    let header = directory.readUInt32LE(at + 42)
    const name = directory.latin1Slice(at + 46, at + 46 + nameEnd)
    const end = at + 46 + nameEnd + extra
    for (let field = at + 46 + nameEnd; field + 4 <= end; ) {
      const length = directory.readUInt16LE(field + 2)
      if (directory.readUInt16LE(field) === 1) {
        let value = field + 4
        const next = () => {
          value += 8
          return Number(directory.readBigUInt64LE(value - 8))
        }
        if (size === 0xffffffff) size = next()
        if (stored === 0xffffffff) stored = next()
        if (header === 0xffffffff) header = next()
      }
      field += 4 + length
    }
    this.records.set(name, { header, stored, size, method: directory.readUInt16LE(at + 10) })
    return end + comment
  }
}
