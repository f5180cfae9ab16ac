/** Opening by a handle: the files are mapped, and what was decoded comes from the handle. */
import { wrongValue } from '../arguments'
import { binding, type NativeTables, type Opened, type PackedStrings } from '../binding'
import type { Checkpoint } from '../checkpoint'
import type { Content } from '../content'
import { errorFrom, FormatError, UnsupportedError } from '../errors'
import { FileContent } from '../file-content'
import { checkpointFor } from '../hidden-classes'
import { PartFile } from '../parts/part-file'
import { IndexedSplit, JoinedSplit } from '../parts/split'
import { Request } from '../request'
import { FileSession } from '../session'
import type { NamedRows } from '../tensor-map'
import { type PackedTables, packedStrings, quantizersOf, sameBytes, unpack } from './pack'
import {
  type CheckpointHandle,
  type Fields,
  fieldsOf,
  flagOf,
  listOf,
  pathOf,
  textOf,
  VERSION,
  wordOf,
} from './shape'

/** Formats of single files, the code of which can say more of tensors, or not. */
const FORMATS = ['zip', 'legacy', 'tar', 'pickle', 'torchscript', 'package', 'pt2', 'safetensors']

/**
 * Opens the checkpoint that {@link Checkpoint.handle} was called of, in this thread or process or
 * in another one: maps its files, but decodes nothing. What needs the decoded pickle (`root`, what
 * wrote it, `verify()`, branches of `stateDict()`) decodes it when it is asked for. What is opened
 * has pages of its own and is closed on its own.
 *
 * A handle is checked as a file is: it opens what it says, as a path does, and numbers in it that
 * were changed are errors.
 *
 * @throws {@link StateError} `FILE_CHANGED` when another file is there, `MISSING_SHARD`
 * @throws {@link FormatError} `BAD_INDEX`, `BAD_TENSOR` for a handle that does not describe the file
 * @throws {@link UnsupportedError} `UNSUPPORTED_VERSION` for one of another version of this package
 * @throws TypeError, RangeError for what is no handle
 * @throws errors of the file system, such as `ENOENT`, in Node's own shape
 */
export function openHandle(handle: CheckpointHandle): Checkpoint {
  const { content, request } = contentOf(handle)
  return checkpointFor(content, request)
}

function contentOf(handle: unknown): { content: Content; request: Request } {
  const fields = fieldsOf(handle, 'handle')
  checkVersion(fields.version)
  const request = new Request(fieldsOf(fields.options, 'handle.options'))
  const { kind } = fields
  if (kind === 'file') return { content: fileOf(fields, request), request }
  if (kind === 'split') return { content: splitOf(fields, request), request }
  throw wrongValue('handle.kind', "'file' or 'split'", kind)
}

function checkVersion(version: unknown): void {
  if (version === VERSION) return
  const message = `a handle of version ${String(version)} is none of this version, ${VERSION}`
  throw new UnsupportedError('UNSUPPORTED_VERSION', message, {}, 'handle')
}

function fileOf(fields: Fields, request: Request): FileContent {
  const path = pathOf(fields.path, 'handle.path')
  const tables = unpack(fields.counts, fields.tables)
  const devices = listOf(fields.devices, 'handle.devices', textOf)
  const given = fieldsOf(fields.identity, 'handle.identity')
  const identity = BigInt64Array.of(
    wordOf(given.device, 'handle.identity.device'),
    wordOf(given.inode, 'handle.identity.inode'),
    wordOf(given.size, 'handle.identity.size'),
    wordOf(given.mtimeNs, 'handle.identity.mtimeNs'),
  )
  const { bytes, counts } = tables
  const attached = binding.attach(path, request.io, identity, bytes, counts, devices.length)
  if (attached.failure) throw errorFrom(attached.failure, path)
  const { handle, mapped } = attached
  try {
    const opened = openedOf(fields, tables, { handle, mapped, devices, identity })
    const decode = () => decoded(opened, path, request)
    const session = new FileSession(opened, path, request.limits, request.options, decode)
    return new FileContent(session, opened, undefined, weightsOf(fields, tables, opened))
  } catch (error) {
    binding.close(handle, [])
    throw error
  }
}

/** What is known without the handle. */
interface Attached extends Pick<Opened, 'handle' | 'mapped' | 'devices'> {
  identity: BigInt64Array
}

/** As opening the file would have given it. */
function openedOf(fields: Fields, tables: PackedTables, attached: Attached): Opened {
  const format = textOf(fields.format, 'handle.format')
  if (!FORMATS.includes(format)) throw wrongValue('handle.format', FORMATS.join(', '), format)
  const { byteOrder, metadata, keys } = fields
  if (byteOrder !== 'little' && byteOrder !== 'big') {
    throw wrongValue('handle.byteOrder', "'little' or 'big'", byteOrder)
  }
  const [device, inode, size, mtimeNs] = attached.identity as unknown as [
    bigint,
    bigint,
    bigint,
    bigint,
  ]
  const opened: Opened = {
    handle: attached.handle,
    format,
    era: textOf(fields.era, 'handle.era'),
    byteOrder,
    size: Number(size),
    identity: {
      device: BigInt.asUintN(64, device),
      inode: BigInt.asUintN(64, inode),
      size,
      mtimeNs,
    },
    mapped: attached.mapped,
    rootClass: textOf(fields.rootClass, 'handle.rootClass'),
    names: namesOf(fields.names, tables.nameEnds, tables.named.length),
    named: tables.named,
    distinct: flagOf(fields.distinct, 'handle.distinct'),
    tensors: tables.tensors,
    extras: tables.extras,
    dims: tables.dims,
    parts: tables.parts,
    quantizers: quantizersOf(tables.quantizers),
    storages: tables.storages,
    devices: attached.devices,
    skipped: listOf(fields.skipped, 'handle.skipped', skippedOf),
    salvaged: flagOf(fields.salvaged, 'handle.salvaged'),
  }
  if (keys !== null) opened.keys = namesOf(keys, tables.keyEnds, tables.places.length)
  if (metadata !== null) {
    const strings = listOf(metadata, 'handle.metadata', textOf)
    if (strings.length % 2 !== 0) {
      throw wrongValue('handle.metadata', 'keys and values in turns', strings.length)
    }
    opened.metadata = packedStrings(strings)
  }
  return opened
}

function skippedOf(value: unknown, name: string): Opened['skipped'][number] {
  const fields = fieldsOf(value, name)
  return {
    name: textOf(fields.name, `${name}.name`),
    code: textOf(fields.code, `${name}.code`),
    message: textOf(fields.message, `${name}.message`),
  }
}

/** The state dict, where the handle has it. */
function weightsOf(
  { weights, weightsDistinct }: Fields,
  tables: PackedTables,
  { names, named, distinct }: Opened,
): NamedRows | undefined {
  if (weights === null) return undefined
  if (weights === true) return { names, named, distinct }
  return {
    names: namesOf(weights, tables.weightEnds, tables.weights.length),
    named: tables.weights,
    distinct: flagOf(weightsDistinct, 'handle.weightsDistinct'),
  }
}

/** @throws {@link FormatError} `BAD_INDEX` unless the text is cut into so many */
function namesOf(given: unknown, ends: Uint32Array, count: number): PackedStrings {
  const text = textOf(given, 'handle.names')
  let before = 0
  let isCut = ends.length === count
  for (let i = 0; isCut && i < count; ++i) {
    isCut = ends[i]! >= before
    before = ends[i]!
  }
  if (isCut && before === text.length) return { text, ends }
  throw new FormatError('BAD_INDEX', `the handle is wrong: its text has other names than ${count}`)
}

/**
 * Decodes what the handle was opened without; the rows of the tables must be those it came with.
 *
 * @throws {@link FormatError} `BAD_INDEX`, and what opening the file throws
 */
function decoded(known: Opened, path: string, request: Request): NativeTables {
  const opened = request.decode(known.handle, path)
  const session = new FileSession(opened, path, request.limits)
  session.readCode()
  let { tables } = session.catalog
  if (tables.tensors.length < known.tensors.length) {
    // Scales of quantised modules are rows that the state dict adds.
    tables = session.unwrap(binding.stateDict(opened.handle, undefined)).tables ?? tables
  }
  const isKnown =
    (['tensors', 'dims', 'extras', 'parts'] as const).every((table) =>
      sameBytes(tables[table], known[table]),
    ) &&
    sameBytes(opened.named, known.named) &&
    tables.storages.length === known.storages.length
  if (!isKnown) {
    const message = 'the handle is wrong: decoded, the file has other tensors'
    throw new FormatError('BAD_INDEX', message, { path })
  }
  session.unwrap(binding.adopt(known.handle, opened.handle))
  return tables
}

function splitOf(fields: Fields, request: Request): Content {
  const path = fields.path === null ? undefined : pathOf(fields.path, 'handle.path')
  const parts = listOf(fields.parts, 'handle.parts', (one, name) => {
    const { path, file } = fieldsOf(one, name)
    const own = pathOf(path, `${name}.path`)
    if (file === null) return new PartFile(own, request)
    const openFileSync = () => {
      const part = fieldsOf(file, `${name}.file`)
      checkVersion(part.version)
      return fileOf(part, request)
    }
    return new PartFile(own, { openFileSync })
  })
  const index = fields.index === null ? undefined : indexOf(fields.index, parts)
  const isJoined = flagOf(fields.joined, 'handle.joined')
  if (isJoined) {
    try {
      return new JoinedSplit(path, parts, request.mayMap, index)
    } catch (error) {
      for (const part of parts) part.close()
      throw error
    }
  }
  if (path === undefined || index === undefined) {
    throw wrongValue('handle.index', 'an index for parts that are not all open', index)
  }
  return new IndexedSplit(path, parts, () => index, request.mayMap)
}

function indexOf(index: unknown, parts: readonly PartFile[]): Map<string, PartFile> {
  return new Map(
    listOf(index, 'handle.index', (entry, name) => {
      const [tensor, number] = listOf(entry, name, (value) => value)
      const part = Number.isSafeInteger(number) ? parts[number as number] : undefined
      if (part === undefined) throw wrongValue(name, `one of ${parts.length} parts`, number)
      return [textOf(tensor, name), part] as const
    }),
  )
}
