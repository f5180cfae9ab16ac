/** Archives as their directories have them, and bytes of them flipped without anybody noticing. */
import { closeSync, copyFileSync, openSync, readFileSync, utimesSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { type Entry, zip } from './bytes'
import { FIXTURES } from './golden'

/** A record as the archive's directory has it. */
export interface Listed {
  name: string
  /** Bytes from the start of the file to the payload. */
  at: number
  bytes: number
  crc: number
  method: number
}

const WIDE = 0xffff_ffff

/** The directory, read here once more and in another way. */
export function listed(file: Buffer): Listed[] {
  const end = file.lastIndexOf('PK\x05\x06', undefined, 'latin1')
  const end64 = file.lastIndexOf('PK\x06\x06', end, 'latin1')
  const records: Listed[] = []
  const isWide = file.readUInt32LE(end + 16) === WIDE || file.readUInt16LE(end + 10) === 0xffff
  let at = isWide ? Number(file.readBigUInt64LE(end64 + 48)) : file.readUInt32LE(end + 16)
  while (file.readUInt32LE(at) === 0x02014b50) {
    const [name, extra, comment] = [28, 30, 32].map((field) => file.readUInt16LE(at + field))
    // Values that do not fit stand in the zip64 field, in this order.
    let wide = file.indexOf('\x01\x00', at + 46 + name!, 'latin1') + 4
    const [, bytes, header] = [24, 20, 42].map((field) => {
      const value = file.readUInt32LE(at + field)
      if (value !== WIDE) return value
      wide += 8
      return Number(file.readBigUInt64LE(wide - 8))
    })
    records.push({
      name: file.toString('utf8', at + 46, at + 46 + name!),
      at: header! + 30 + file.readUInt16LE(header! + 26) + file.readUInt16LE(header! + 28),
      bytes: bytes!,
      crc: file.readUInt32LE(at + 16),
      method: file.readUInt16LE(at + 10),
    })
    at += 46 + name! + extra! + comment!
  }
  return records
}

/** A copy whose age is a whole second, so that it can be changed without anybody noticing. */
export function copyOf(name: string, folder: string): { path: string; flip: (at: number) => void } {
  const path = join(folder, basename(name))
  copyFileSync(join(FIXTURES, name), path)
  utimesSync(path, 1e9, 1e9)
  return { path, flip: (at) => flip(path, at) }
}

/** Flips a bit of the byte at `at`. */
export function flip(path: string, at: number): void {
  const file = openSync(path, 'r+')
  writeSync(file, Uint8Array.of(readFileSync(path)[at]! ^ 0x10), 0, 1, at)
  closeSync(file)
  utimesSync(path, 1e9, 1e9)
}

/** An archive with checksums: those of the bytes where an entry does not say which. */
export function zipWithChecksums(entries: readonly (Entry & { crc?: number })[]): Buffer {
  const made = zip(entries)
  let at = made.readUInt32LE(made.length - 6)
  for (const { data, crc } of entries) {
    made.writeUInt32LE(crc ?? crc32(data), at + 16)
    at += 46 + [28, 30, 32].reduce((sum, field) => sum + made.readUInt16LE(at + field), 0)
  }
  return made
}
