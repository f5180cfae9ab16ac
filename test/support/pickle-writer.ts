/** Pickles by hand, for what no producer writes. Protocol 2 and the opcodes of CPython's pickletools. */

/** A value as the opcodes that push it. */
export type Code = Buffer

const raw = (...bytes: number[]): Code => Buffer.from(bytes)

export const none: Code = raw(0x4e)
export const yes: Code = raw(0x88)
export const no: Code = raw(0x89)

export function str(text: string): Code {
  const bytes = Buffer.from(text)
  const head = Buffer.alloc(5)
  head[0] = 0x58
  head.writeUInt32LE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

/** Any integer of up to 8 bytes. */
export function int(value: number | bigint): Code {
  const bytes = Buffer.alloc(10)
  bytes[0] = 0x8a
  bytes[1] = 8
  bytes.writeBigInt64LE(BigInt(value), 2)
  return bytes
}

export function float(value: number): Code {
  const bytes = Buffer.alloc(9)
  bytes[0] = 0x47
  bytes.writeDoubleBE(value, 1)
  return bytes
}

export const tuple = (...items: Code[]): Code => Buffer.concat([raw(0x28), ...items, raw(0x74)])

export const list = (...items: Code[]): Code =>
  Buffer.concat([raw(0x5d, 0x28), ...items, raw(0x65)])

export const dict = (...pairs: [Code, Code][]): Code =>
  Buffer.concat([raw(0x7d, 0x28), ...pairs.flat(), raw(0x75)])

export const global = (module: string, name: string): Code => Buffer.from(`c${module}\n${name}\n`)

export const call = (callee: Code, ...args: Code[]): Code =>
  Buffer.concat([callee, tuple(...args), raw(0x52)])

/** An object made by its class without arguments, and its state. */
export function object(module: string, name: string, state?: Code): Code {
  const made = Buffer.concat([global(module, name), raw(0x29, 0x81)])
  return state === undefined ? made : Buffer.concat([made, state, raw(0x62)])
}

/** Keeps the value in the memo. */
export function keep(index: number, value: Code): Code {
  const bytes = Buffer.alloc(5)
  bytes[0] = 0x72
  bytes.writeUInt32LE(index, 1)
  return Buffer.concat([value, bytes])
}

/** A value of the memo. */
export function kept(index: number): Code {
  const bytes = Buffer.alloc(5)
  bytes[0] = 0x6a
  bytes.writeUInt32LE(index, 1)
  return bytes
}

export const pickle = (root: Code): Buffer => Buffer.concat([raw(0x80, 2), root, raw(0x2e)])
