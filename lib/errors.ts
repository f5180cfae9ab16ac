/**
 * The errors of this package: one base, six classes that callers would treat differently, stable
 * codes.
 *
 * Failures reach this side as data; here they become errors. What the operating system refuses
 * keeps Node's own shape (`ENOENT` and its kin) and is no {@link CheckpointError}.
 */

import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'
import type { NativeFailure } from './binding'
import { printable } from './printable'

/** Every code and the class it belongs to, in the order of native/core/codes.def. */
export const CODES = {
  NOT_A_CHECKPOINT: 'Format',
  TRUNCATED: 'Format',
  BAD_ARCHIVE: 'Format',
  BAD_RECORD: 'Format',
  BAD_PICKLE: 'Format',
  BAD_TENSOR: 'Format',
  BAD_INDEX: 'Format',
  CHECKSUM_MISMATCH: 'Format',
  UNSUPPORTED_DTYPE: 'Unsupported',
  UNSUPPORTED_LAYOUT: 'Unsupported',
  UNSUPPORTED_OPCODE: 'Unsupported',
  UNSUPPORTED_COMPRESSION: 'Unsupported',
  UNSUPPORTED_BYTE_ORDER: 'Unsupported',
  UNSUPPORTED_VERSION: 'Unsupported',
  UNSUPPORTED_FORMAT: 'Unsupported',
  UNSUPPORTED_RUNTIME: 'Unsupported',
  UNSAFE_GLOBAL: 'Unsafe',
  LIMIT_OPCODES: 'Limit',
  LIMIT_NODES: 'Limit',
  LIMIT_MEMO: 'Limit',
  LIMIT_STRING: 'Limit',
  LIMIT_RECORDS: 'Limit',
  LIMIT_STORAGE: 'Limit',
  LIMIT_NAMES: 'Limit',
  LIMIT_WORK: 'Limit',
  CLOSED: 'State',
  FILE_CHANGED: 'State',
  MISSING_SHARD: 'State',
  NO_SUCH_TENSOR: 'State',
  NOT_LOADED: 'State',
  REMOTE_REFUSED: 'Remote',
  REMOTE_FAILED: 'Remote',
  REMOTE_UNSUITED: 'Remote',
} as const

/** Codes are the contract: they are never renamed, while messages may change. */
export type ErrorCode = keyof typeof CODES
type CodesOf<Kind> = {
  [Code in ErrorCode]: (typeof CODES)[Code] extends Kind ? Code : never
}[ErrorCode]
export type FormatCode = CodesOf<'Format'>
export type UnsupportedCode = CodesOf<'Unsupported'>
export type UnsafeCode = CodesOf<'Unsafe'>
export type LimitCode = CodesOf<'Limit'>
export type StateCode = CodesOf<'State'>
export type RemoteCode = CodesOf<'Remote'>

/** Where something went wrong, as far as known. */
export interface ErrorPlace {
  /** The file, as given to `open`. */
  path?: string | undefined
  /** Record of the archive. */
  record?: string | undefined
  /** Bytes from the start of the file. */
  offset?: number | undefined
  cause?: unknown
}

const BRAND: unique symbol = Symbol.for('torchmap.CheckpointError') as never

/** What is wrong with a checkpoint, or with the way it is used. */
export class CheckpointError extends Error {
  readonly code: ErrorCode
  /** The file, as given to `open`; absent for bytes. */
  declare readonly path?: string
  /** Record of the archive. */
  declare readonly record?: string
  /** Bytes from the start of the file. */
  declare readonly offset?: number

  static {
    CheckpointError.prototype.name = 'CheckpointError'
  }

  constructor(code: ErrorCode, message: string, place: ErrorPlace = {}) {
    const { path, record, offset, cause } = place
    super(
      printable(`${message}${placeText(message, place)} (${code})`),
      cause === undefined ? undefined : { cause },
    )
    this.code = code
    if (path !== undefined) this.path = path
    if (record !== undefined) this.record = record
    if (offset !== undefined) this.offset = offset
  }

  get [BRAND](): true {
    return true
  }
}

/**
 * `, in record 'data.pkl' of '/x.pth' at byte 12`, leaving out what the message says or nobody
 * knows.
 */
function placeText(message: string, { path, record, offset }: ErrorPlace): string {
  const parts: string[] = []
  if (record !== undefined && !message.includes(`'${record}'`)) parts.push(`in record '${record}'`)
  if (path !== undefined && !message.includes(`'${path}'`)) {
    parts.push(`${parts.length === 0 ? 'in' : 'of'} '${path}'`)
  }
  if (offset !== undefined) parts.push(`at byte ${offset}`)
  return parts.length === 0 ? '' : `, ${parts.join(' ')}`
}

/** The bytes are wrong: no version of this package will read them. */
export class FormatError extends CheckpointError {
  declare readonly code: FormatCode
  static {
    FormatError.prototype.name = 'FormatError'
  }
  constructor(code: FormatCode, message: string, place?: ErrorPlace) {
    super(code, message, place)
  }
}

/** The bytes are valid, but this package or this runtime has no way to give them. */
export class UnsupportedError extends CheckpointError {
  declare readonly code: UnsupportedCode
  /** What is not supported. */
  declare readonly feature?: string
  static {
    UnsupportedError.prototype.name = 'UnsupportedError'
  }
  constructor(code: UnsupportedCode, message: string, place?: ErrorPlace, feature?: string) {
    super(code, message, place)
    if (feature !== undefined) this.feature = feature
  }
}

/** The pickle names a global that the caller refused. */
export class UnsafeError extends CheckpointError {
  declare readonly code: UnsafeCode
  /** `module.name` */
  declare readonly global?: string
  static {
    UnsafeError.prototype.name = 'UnsafeError'
  }
  constructor(code: UnsafeCode, message: string, place?: ErrorPlace, global?: string) {
    super(code, message, place)
    if (global !== undefined) this.global = global
  }
}

/** A cap was reached; `open(source, { limits })` can raise it. */
export class LimitError extends CheckpointError {
  declare readonly code: LimitCode
  /** Name of the limit among {@link LIMITS}. */
  readonly limitName: string
  /** The cap. */
  readonly limit: number
  /** What the checkpoint needs. */
  readonly actual: number
  static {
    LimitError.prototype.name = 'LimitError'
  }
  constructor(
    code: LimitCode,
    message: string,
    place: ErrorPlace | undefined,
    { limitName, limit, actual }: { limitName: string; limit: number; actual: number },
  ) {
    super(code, message, place)
    this.limitName = limitName
    this.limit = limit
    this.actual = actual
  }
}

/** The call came at the wrong time, or the file is no longer the one that was opened. */
export class StateError extends CheckpointError {
  declare readonly code: StateCode
  static {
    StateError.prototype.name = 'StateError'
  }
  constructor(code: StateCode, message: string, place?: ErrorPlace) {
    super(code, message, place)
  }
}

/** What is elsewhere could not be brought here. */
export class RemoteError extends CheckpointError {
  declare readonly code: RemoteCode
  /** The status of the server's answer, where there was one. */
  declare readonly status?: number
  static {
    RemoteError.prototype.name = 'RemoteError'
  }
  constructor(code: RemoteCode, message: string, place?: ErrorPlace, status?: number) {
    super(code, message, place)
    if (status !== undefined) this.status = status
  }
}

/** The class that has a code. */
export type ErrorOf<Code extends ErrorCode> = (Code extends FormatCode
  ? FormatError
  : Code extends UnsupportedCode
    ? UnsupportedError
    : Code extends UnsafeCode
      ? UnsafeError
      : Code extends LimitCode
        ? LimitError
        : Code extends RemoteCode
          ? RemoteError
          : StateError) & { readonly code: Code }

/**
 * Whether something caught is an error of this package, and of the given code if one is given.
 *
 * Works across copies of the package and across realms, where `instanceof` does not.
 */
export function isCheckpointError<Code extends ErrorCode>(
  error: unknown,
  code: Code,
): error is ErrorOf<Code>
export function isCheckpointError(error: unknown): error is CheckpointError
export function isCheckpointError(error: unknown, code?: ErrorCode): error is CheckpointError {
  if (typeof error !== 'object' || error === null || !(BRAND in error)) return false
  return code === undefined || (error as CheckpointError).code === code
}

/** An error that says why something of a checkpoint cannot be had. */
export type Loss = Error & { readonly code: string }

/** Of the system: what the process has run out of, which may be there later. */
const PASSING: ReadonlySet<unknown> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR'])

/**
 * Whether something caught is the system's refusal of one file, such as `EACCES` or `EISDIR`; not
 * of more files, memory or the like.
 */
export function isFileError(error: unknown): error is Loss {
  if (typeof error !== 'object' || error === null) return false
  const { errno, syscall, code } = error as NodeJS.ErrnoException
  return typeof errno === 'number' && typeof syscall === 'string' && !PASSING.has(code)
}

/** Whether something caught is an error of this package, or of the system about one file. */
export function isLoss(error: unknown): error is Loss {
  return isCheckpointError(error) || isFileError(error)
}

/** The error for a failure of the native side. */
export function errorFrom(failure: NativeFailure, path: string | undefined): Error {
  const { message, record, offset, subject } = failure
  if (failure.code === 'IO') return systemError(failure, path)
  const place = { path, record, offset }
  const code = failure.code as ErrorCode
  switch (CODES[code]) {
    case 'Format':
      return new FormatError(code as FormatCode, message, place)
    case 'Unsupported':
      return new UnsupportedError(code as UnsupportedCode, message, place, subject)
    case 'Unsafe':
      return new UnsafeError(code as UnsafeCode, message, place, subject)
    case 'Limit':
      return new LimitError(code as LimitCode, message, place, {
        limitName: subject ?? '',
        limit: failure.limit ?? 0,
        actual: failure.actual ?? 0,
      })
    case 'State':
      return new StateError(code as StateCode, message, place)
    case 'Remote':
      return new RemoteError(code as RemoteCode, message, place)
    default:
      return new Error(`${message} (${code})`)
  }
}

/**
 * Node's shape: code, a negative errno, syscall and path; "ENOENT: no such file or directory, open
 * 'x'".
 */
function systemError(failure: NativeFailure, path: string | undefined): Error {
  const syscall = failure.subject ?? 'open'
  const known = Object.entries(constants.errno).find(([, value]) => value === failure.actual)
  const code = known?.[0] ?? 'EIO'
  // libuv numbers errors its own way on Windows, so they meet by name.
  const named = [...getSystemErrorMap()].find(([, [name]]) => name === code)
  const [errno, text] = named ? [named[0], named[1][1]] : [-(failure.actual ?? 0), failure.message]
  const message = `${code}: ${text}, ${syscall}${path === undefined ? '' : ` '${path}'`}`
  return Object.assign(new Error(message), {
    errno,
    code,
    syscall,
    ...(path === undefined ? {} : { path }),
  })
}
