/** Pickles and zip archives byte by byte, for what no writer would write. */

/** Opcodes, by the names of Python's pickletools. */
export const op = {
  PROTO: 0x80,
  MARK: 0x28,
  STOP: 0x2e,
  POP: 0x30,
  DUP: 0x32,
  NONE: 0x4e,
  REDUCE: 0x52,
  BUILD: 0x62,
  APPEND: 0x61,
  APPENDS: 0x65,
  SETITEM: 0x73,
  SETITEMS: 0x75,
  EMPTY_LIST: 0x5d,
  EMPTY_DICT: 0x7d,
  EMPTY_TUPLE: 0x29,
  EMPTY_SET: 0x8f,
  ADDITEMS: 0x90,
  TUPLE: 0x74,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  BININT1: 0x4b,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  BINGET: 0x68,
  LONG4: 0x8b,
  BINSTRING: 0x54,
  BINUNICODE: 0x58,
  BINUNICODE8: 0x8d,
  BINBYTES8: 0x8e,
  BYTEARRAY8: 0x96,
  FRAME: 0x95,
  BINPERSID: 0x51,
  NEWFALSE: 0x89,
} as const

/** Numbers are single bytes, strings UTF-8. */
export type Part = number | string | Uint8Array

export function bytes(...parts: Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : Buffer.from(part as string))),
  )
}

export function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32LE(value)
  return buffer
}

export function u64(value: bigint): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64LE(BigInt.asUintN(64, value))
  return buffer
}

/** A pickle of protocol 5. */
export function pickle(...parts: Part[]): Buffer {
  return bytes(op.PROTO, 5, ...parts, op.STOP)
}

/** BINUNICODE */
export function text(value: string): Buffer {
  const utf8 = Buffer.from(value)
  return bytes(op.BINUNICODE, u32(utf8.length), utf8)
}

/** LONG1 of 8 bytes */
export function int(value: bigint | number): Buffer {
  return bytes(0x8a, 8, u64(BigInt(value)))
}

export function global(module: string, name: string): Buffer {
  return Buffer.from(`c${module}\n${name}\n`)
}

/** A tuple of integers. */
export function ints(values: readonly (bigint | number)[]): Buffer {
  return bytes(op.MARK, ...values.map(int), op.TUPLE)
}

export interface TensorOptions {
  type?: string
  key?: string
  numel?: bigint | number
  offset?: bigint | number
  sizes?: readonly (bigint | number)[]
  strides?: readonly (bigint | number)[]
}

/** What pushes a tensor. */
export function tensor(options: TensorOptions = {}): Buffer {
  const { type = 'FloatStorage', key = '0', numel = 4, offset = 0 } = options
  const { sizes = [4], strides = [1] } = options
  return bytes(
    global('torch._utils', '_rebuild_tensor_v2'),
    op.MARK,
    bytes(op.MARK, text('storage'), global('torch', type), text(key), text('cpu'), int(numel)),
    bytes(op.TUPLE, op.BINPERSID, int(offset), ints(sizes), ints(strides), op.NEWFALSE),
    bytes(global('collections', 'OrderedDict'), op.EMPTY_TUPLE, op.REDUCE, op.TUPLE, op.REDUCE),
  )
}

/** What pushes a tensor of any dtype over the bytes of a storage that has none. */
export function untyped(
  dtype: string,
  length: number,
  shape: readonly number[],
  more: TensorOptions = {},
): Buffer {
  const { key = '0', offset = 0, strides = contiguous(shape) } = more
  return bytes(
    global('torch._utils', '_rebuild_tensor_v3'),
    op.MARK,
    bytes(op.MARK, text('storage'), global('torch.storage', 'UntypedStorage'), text(key)),
    bytes(text('cpu'), int(length), op.TUPLE, op.BINPERSID),
    bytes(int(offset), ints(shape), ints(strides), op.NEWFALSE),
    bytes(global('collections', 'OrderedDict'), op.EMPTY_TUPLE, op.REDUCE, global('torch', dtype)),
    bytes(op.TUPLE, op.REDUCE),
  )
}

function contiguous(shape: readonly number[]): number[] {
  return shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
}

/** Lists of ten references to the list before, `levels` deep; the innermost ten refer to `innermost`. */
export function tenfold(innermost: Part, levels: number): Buffer {
  const list = (i: number) => {
    const ten = bytes(...Array<Buffer>(10).fill(bytes(op.BINGET, i)))
    return bytes(op.EMPTY_LIST, op.BINPUT, i + 1, op.MARK, ten, op.APPENDS, op.POP)
  }
  const lists = Array.from({ length: levels }, (_, i) => list(i))
  return bytes(innermost, op.BINPUT, 0, op.POP, ...lists, op.BINGET, levels)
}

export interface Entry {
  name: string
  data: Uint8Array
  method?: number
  flags?: number
  /** What the headers say of the data: bytes stored, and bytes once inflated. */
  stored?: number
  size?: number
  /** Where the directory says that the record starts; where it is by default. */
  offset?: number
  /** Name in the local header. */
  localName?: string
  /** Extra field in the directory. */
  extra?: Uint8Array
  /** No bytes of its own: only an entry of the directory. */
  isGhost?: boolean
}

export interface EndOptions {
  count?: number
  directorySize?: number
  directoryOffset?: number
  comment?: Uint8Array
  /** Between the directory and the end record. */
  before?: Uint8Array
}

function endRecord(count: number, size: number, offset: number, comment: Uint8Array): Buffer {
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(count, 8)
  end.writeUInt16LE(count, 10)
  end.writeUInt32LE(size, 12)
  end.writeUInt32LE(offset, 16)
  end.writeUInt16LE(comment.length, 20)
  return Buffer.concat([end, comment])
}

export function zip(entries: readonly Entry[], end: EndOptions = {}): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const entry of entries) {
    const { name, data, method = 0, flags = 0, localName = name, extra = Buffer.alloc(0) } = entry
    const { stored = data.length, size = stored, offset = at } = entry
    const head = Buffer.alloc(30)
    head.writeUInt32LE(0x04034b50, 0)
    head.writeUInt16LE(flags, 6)
    head.writeUInt16LE(method, 8)
    head.writeUInt32LE(stored, 18)
    head.writeUInt32LE(size, 22)
    head.writeUInt16LE(Buffer.byteLength(localName), 26)
    if (entry.isGhost !== true) {
      const local = bytes(head, localName, data)
      parts.push(local)
      at += local.length
    }
    const central = Buffer.alloc(46)
    central.writeUInt32LE(0x02014b50, 0)
    head.copy(central, 6, 4, 30)
    central.writeUInt16LE(Buffer.byteLength(name), 28)
    central.writeUInt16LE(extra.length, 30)
    central.writeUInt32LE(offset, 42)
    directory.push(bytes(central, name, extra))
  }
  const listing = Buffer.concat(directory)
  const { count = entries.length, directorySize = listing.length, directoryOffset = at } = end
  const { comment = Buffer.alloc(0), before = Buffer.alloc(0) } = end
  return bytes(...parts, listing, before, endRecord(count, directorySize, directoryOffset, comment))
}

const FLOATS = new Uint8Array(Float32Array.of(0, 1, 2, 3).buffer)

/** A checkpoint with this pickle, and with storage 0: by default the floats 0, 1, 2, 3. */
export function checkpointOf(data: Uint8Array, storage: Uint8Array = FLOATS): Buffer {
  return zip(sampleEntries(data, storage))
}

export function sampleEntries(data: Uint8Array, storage: Uint8Array = FLOATS): Entry[] {
  return [
    { name: 'a/data.pkl', data },
    { name: 'a/data/0', data: storage },
    { name: 'a/version', data: Buffer.from('3\n') },
  ]
}
