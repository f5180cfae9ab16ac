/**
 * What a handle is: plain data that a thread or process can be sent, from which it opens the same
 * files without decoding them again. What arrives is as untrusted as a file: everything is checked,
 * here its shape, the rows of its tables natively.
 */
import { wrongType, wrongValue } from '../arguments'
import type { OpenOptions } from '../request'

/** Handles of other versions are refused: they are for processes that run at the same time. */
export const VERSION = 1

/** What `open` was told, as far as it can be sent. */
export type KeptOptions = Omit<OpenOptions, 'signal' | 'verify' | 'parts' | 'remote'>

interface AnyHandle {
  readonly version: typeof VERSION
  readonly options: KeptOptions
}

/** One file. */
export interface FileHandle extends AnyHandle {
  readonly kind: 'file'
  /** Absolute. */
  readonly path: string
  /** Of {@link FileIdentity}, in decimal digits. */
  readonly identity: { device: string; inode: string; size: string; mtimeNs: string }
  readonly format: string
  readonly era: string
  readonly byteOrder: 'little' | 'big'
  readonly rootClass: string
  readonly salvaged: boolean
  readonly distinct: boolean
  readonly skipped: readonly { name: string; code: string; message: string }[]
  readonly devices: readonly string[]
  /** Keys and values, in turns. */
  readonly metadata: readonly string[] | null
  /** All names in one text, cut by the tables. */
  readonly names: string
  /** Keys of storages; nothing where the key of each is its number. */
  readonly keys: string | null
  /** Names of the state dict; nothing where it has to be decoded, `true` where it is all tensors. */
  readonly weights: string | true | null
  readonly weightsDistinct: boolean
  /** How many numbers each table of `tables` has, as `pack.ts` lists them. */
  readonly counts: readonly number[]
  /** All tables, one behind the other; as JSON has it, in base64. */
  readonly tables: Uint8Array | string
}

/** Parts that hold a share of the tensors each. */
export interface SplitHandle extends AnyHandle {
  readonly kind: 'split'
  /** The directory or index; nothing for an array of parts. */
  readonly path: string | null
  /** Whether what the parts hold says which tensors there are, rather than the index. */
  readonly joined: boolean
  /** A part that could not be opened has a path alone. */
  readonly parts: readonly { path: string; file: FileHandle | null }[]
  /** For each name the number of its part; nothing without an index. */
  readonly index: readonly (readonly [name: string, part: number])[] | null
}

/**
 * Sent to a thread by `postMessage()` or `workerData`, or to a process, it opens the same
 * checkpoint there, by {@link openHandle}. Nothing of it but `path` is for other uses.
 */
export type CheckpointHandle = FileHandle | SplitHandle

/** Of what may be a handle. */
export type Fields = Readonly<Record<string, unknown>>

/** The fields of an object. @throws TypeError */
export function fieldsOf(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongType(name, 'what Checkpoint.handle() gave', value)
  }
  return value as Fields
}

/** @throws TypeError */
export function textOf(value: unknown, name: string): string {
  if (typeof value !== 'string') throw wrongType(name, 'a string', value)
  return value
}

/** @throws TypeError */
export function flagOf(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw wrongType(name, 'a boolean', value)
  return value
}

/** @throws TypeError */
export function listOf<T>(
  value: unknown,
  name: string,
  item: (value: unknown, name: string) => T,
): T[] {
  if (!Array.isArray(value)) throw wrongType(name, 'an array', value)
  const items: T[] = []
  const itemName = `${name}[]`
  for (let i = 0; i < value.length; ++i) items.push(item(value[i], itemName))
  return items
}

/** A path that the system can be asked for. @throws TypeError, RangeError */
export function pathOf(value: unknown, name: string): string {
  const path = textOf(value, name)
  if (path.includes('\0')) throw wrongValue(name, 'a path without null bytes', path)
  return path
}

/** A number in decimal digits, as a 64-bit word. @throws TypeError, RangeError */
export function wordOf(value: unknown, name: string): bigint {
  const digits = textOf(value, name)
  if (!/^-?\d{1,20}$/.test(digits)) throw wrongValue(name, 'decimal digits', digits)
  return BigInt.asIntN(64, BigInt(digits))
}
