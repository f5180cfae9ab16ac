/**
 * Writes zip checkpoints in torch's form from numbers, for what goldens cannot hold: storages of many gigabytes (as
 * sparse files), thousands of tensors. Layout: test/fixtures/README.md and torch's inline_container.cc (v2.13).
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'

export interface TensorSpec {
  name: string
  /** "Float", "Long", "BFloat16" ...: the class is torch.<type>Storage. */
  type: string
  /** Storage key; tensors of one key share a storage. */
  key: string
  /** Elements of the storage. */
  numel: number
  offset?: number
  shape: number[]
  stride?: number[]
}

export interface RecordSpec {
  name: string
  size: number
  /** Bytes at places; the rest is a hole of zeros. */
  parts: { offset: number; bytes: Uint8Array }[]
}

class Pickle {
  readonly #parts: Buffer[] = [Buffer.from([0x80, 2])]

  raw(...bytes: number[]): this {
    this.#parts.push(Buffer.from(bytes))
    return this
  }
  text(value: string): this {
    const bytes = Buffer.from(value)
    const head = Buffer.alloc(5)
    head[0] = 0x58
    head.writeUInt32LE(bytes.length, 1)
    this.#parts.push(head, bytes)
    return this
  }
  int(value: number): this {
    if (value < 256) return this.raw(0x4b, value)
    const bytes = Buffer.alloc(10)
    bytes[0] = 0x8a
    bytes[1] = 8
    bytes.writeBigInt64LE(BigInt(value), 2)
    this.#parts.push(bytes)
    return this
  }
  ints(values: number[]): this {
    this.raw(0x28)
    for (const value of values) this.int(value)
    return this.raw(0x74)
  }
  global(module: string, name: string): this {
    this.#parts.push(Buffer.from(`c${module}\n${name}\n`))
    return this
  }
  bytes(): Buffer {
    return Buffer.concat([...this.#parts, Buffer.from('.')])
  }
}

function contiguous(shape: number[]): number[] {
  return shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
}

/** `{name: tensor, ...}` as torch.save writes it, or that dict under a key of another one. */
export function stateDictPickle(tensors: TensorSpec[], wrapper?: string): Buffer {
  const out = new Pickle()
  if (wrapper !== undefined) out.raw(0x7d, 0x28).text(wrapper)
  out.raw(0x7d, 0x28)
  for (const { name, type, key, numel, offset = 0, shape, stride = contiguous(shape) } of tensors) {
    out.text(name).global('torch._utils', '_rebuild_tensor_v2').raw(0x28)
    out
      .raw(0x28)
      .text('storage')
      .global('torch', `${type}Storage`)
      .text(key)
      .text('cpu')
      .int(numel)
      .raw(0x74, 0x51)
    out
      .int(offset)
      .ints(shape)
      .ints(stride)
      .raw(0x89)
      .global('collections', 'OrderedDict')
      .raw(0x29, 0x52, 0x74, 0x52)
  }
  if (wrapper !== undefined) out.raw(0x75)
  return out.raw(0x75).bytes()
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

const FULL = 0xffffffff
const LOCAL_HEADER = 30
const DIRECTORY_HEADER = 46

/** Writes records one behind the other, payloads 64-byte aligned, sizes in the central directory only. */
export function writeArchive(path: string, records: RecordSpec[], root = 'archive'): void {
  const fd = openSync(path, 'w')
  const directory: Buffer[] = []
  let at = 0
  for (const { name, size, parts } of records) {
    const stored = Buffer.from(`${root}/${name}`)
    const padding = (64 - ((at + LOCAL_HEADER + stored.length + 4) % 64)) % 64
    const local = Buffer.alloc(LOCAL_HEADER)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(0x0808, 6)
    local.writeUInt16LE(stored.length, 26)
    local.writeUInt16LE(4 + padding, 28)
    const pad = Buffer.alloc(4 + padding, 'Z')
    pad.write('FB')
    pad.writeUInt16LE(padding, 2)
    writeSync(fd, Buffer.concat([local, stored, pad]), 0, undefined, at)
    const payload = at + LOCAL_HEADER + stored.length + pad.length
    for (const { offset, bytes } of parts) writeSync(fd, bytes, 0, bytes.length, payload + offset)

    const big = size >= FULL || at >= FULL
    const extra = big
      ? Buffer.concat([Buffer.from([1, 0, 24, 0]), u64(size), u64(size), u64(at)])
      : Buffer.alloc(0)
    const entry = Buffer.alloc(DIRECTORY_HEADER)
    entry.writeUInt32LE(0x02014b50, 0)
    entry.writeUInt16LE(0x0808, 8)
    entry.writeUInt32LE(big ? FULL : size, 20)
    entry.writeUInt32LE(big ? FULL : size, 24)
    entry.writeUInt16LE(stored.length, 28)
    entry.writeUInt16LE(extra.length, 30)
    entry.writeUInt32LE(big ? FULL : at, 42)
    directory.push(entry, stored, extra)
    at = payload + size
  }
  const listing = Buffer.concat(directory)
  const end64 = Buffer.alloc(56)
  end64.writeUInt32LE(0x06064b50, 0)
  end64.writeBigUInt64LE(44n, 4)
  end64.writeUInt16LE(0x031e, 12)
  end64.writeUInt16LE(45, 14)
  for (const offset of [24, 32]) end64.writeBigUInt64LE(BigInt(records.length), offset)
  end64.writeBigUInt64LE(BigInt(listing.length), 40)
  end64.writeBigUInt64LE(BigInt(at), 48)
  const locator = Buffer.alloc(20)
  locator.writeUInt32LE(0x07064b50, 0)
  locator.writeBigUInt64LE(BigInt(at + listing.length), 8)
  locator.writeUInt32LE(1, 16)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  const count = Math.min(records.length, 0xffff)
  end.writeUInt16LE(count, 8)
  end.writeUInt16LE(count, 10)
  end.writeUInt32LE(listing.length, 12)
  end.writeUInt32LE(Math.min(at, FULL), 16)
  const tail = Buffer.concat([listing, end64, locator, end])
  ftruncateSync(fd, at)
  writeSync(fd, tail, 0, tail.length, at)
  closeSync(fd)
}

/**
 * A checkpoint of `tensors`, under the key `wrapper` if one is given; `storages` gives the bytes of
 * each key.
 */
export function writeCheckpoint(
  path: string,
  tensors: TensorSpec[],
  storages: { key: string; size: number; parts: RecordSpec['parts'] }[],
  wrapper?: string,
): void {
  const pickle = stateDictPickle(tensors, wrapper)
  writeArchive(path, [
    { name: 'data.pkl', size: pickle.length, parts: [{ offset: 0, bytes: pickle }] },
    ...storages.map(({ key, size, parts }) => ({ name: `data/${key}`, size, parts })),
    { name: 'version', size: 2, parts: [{ offset: 0, bytes: Buffer.from('3\n') }] },
  ])
}
