/**
 * The chunks of a distributed checkpoint in safetensors files, without an index: each file says
 * where in their tensors its own begin, and the sizes of the whole follow from all of them.
 * Source: torch/distributed/checkpoint/hf_storage.py, HuggingFaceStorageReader.read_metadata (v2.13).
 */
import type { Format, Skipped } from '../../content'
import type { DTypeInfo } from '../../dtype'
import { DTYPES } from '../../dtype'
import { type CheckpointError, FormatError, UnsupportedError } from '../../errors'
import type { FileContent } from '../../file-content'
import { MadeSession } from '../../made'
import { NamedTensors } from '../../named-tensors'
import type { Request } from '../../request'
import type { Tensor } from '../../tensor'
import { PartFile } from '../part-file'
import { branch, SeveralFiles, skip } from '../several'
import { place } from './items'
import { type Box, cornersOf, count, fault } from './tiling'

interface Chunk extends Box {
  readonly tensor: Tensor
}

interface Whole {
  readonly dtype: DTypeInfo
  readonly shape: number[]
  readonly chunks: Chunk[]
  error?: CheckpointError | undefined
}

const BY_NAME = new Map(DTYPES.map((dtype) => [dtype.name, dtype]))

export class DcpSafetensors extends SeveralFiles {
  readonly format: Format = 'dcp'
  readonly era = ''
  readonly parts: readonly PartFile[]
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly skipped: readonly Skipped[]
  readonly #session: MadeSession
  readonly #stateDicts = new Map<string, ReadonlyMap<string, Tensor>>()
  #root: ReadonlyMap<string, Tensor> | undefined

  constructor(folder: string, files: readonly FileContent[], request: Request) {
    super(folder, request.mayMap)
    this.parts = files.map((file) => new PartFile(file.path!, request, file))
    this.#session = new MadeSession(folder, request.limits)
    const wholes = gather(files, folder)
    const skipped = files.flatMap((file) => file.skipped)
    for (const [name, { error }] of wholes) if (error !== undefined) skipped.push(skip(name, error))
    this.skipped = Object.freeze(skipped)
    this.tensors = new NamedTensors(
      () => wholes,
      (name, whole) => this.#session.tensor(this.#add(name, whole), name),
    )
  }

  get root(): unknown {
    this.#root ??= new Map(this.tensors)
    return this.#root
  }

  stateDict(from: string | undefined): ReadonlyMap<string, Tensor> {
    if (from === undefined) return this.tensors
    let found = this.#stateDicts.get(from)
    if (found === undefined) {
      const names = branch(
        [...this.tensors.keys()].map((name) => [name, name]),
        from,
        this.path,
      )
      found = new NamedTensors(
        () => names,
        (_, name) => this.tensors.get(name)!,
      )
      this.#stateDicts.set(from, found)
    }
    return found
  }

  protected override release(): void {
    this.#root = undefined
    this.#session.close()
    for (const part of this.parts) part.close()
  }

  #add(name: string, item: Whole): number {
    const { dtype, shape, chunks, error } = item
    const recipe = { dtype: dtype.name, shape, key: name }
    const check = () => {
      if (error !== undefined) throw error
    }
    if (error === undefined && chunks.length === 1) {
      return this.#session.add({ ...recipe, whole: () => chunks[0]!.tensor })
    }
    return this.#session.add({
      ...recipe,
      check,
      fill: (target) => {
        for (const chunk of chunks) place(chunk.tensor, chunk, item, target)
      },
    })
  }
}

/** The tensors that all files have together, checked. */
function gather(files: readonly FileContent[], folder: string): Map<string, Whole> {
  const wholes = new Map<string, Whole>()
  const bad = (message: string, path: string | undefined) =>
    new FormatError('BAD_INDEX', message, { path })
  for (const file of files) {
    const offsetsOf = offsetsIn(file)
    for (const [name, tensor] of file.tensors) {
      const sizes = tensor.shape
      const dtype = BY_NAME.get(tensor.dtype)!
      let whole = wholes.get(name)
      if (whole === undefined) {
        whole = { dtype, shape: sizes.map(() => 0), chunks: [] }
        wholes.set(name, whole)
      }
      const offsets = offsetsOf(name, sizes.length)
      if (offsets === undefined) {
        whole.error ??= bad(`the file does not say where in the whole '${name}' begins`, file.path)
      } else if (dtype !== whole.dtype || sizes.length !== whole.shape.length) {
        whole.error ??= bad(`the chunks of '${name}' differ in dtype or dimensions`, file.path)
      } else {
        for (const [d, size] of sizes.entries()) {
          whole.shape[d] = Math.max(whole.shape[d]!, offsets[d]! + size)
        }
        if (!sizes.includes(0)) whole.chunks.push({ offsets, sizes, tensor })
      }
    }
  }
  for (const [name, whole] of wholes) whole.error ??= flaw(name, whole, folder)
  return wholes
}

function flaw(name: string, { shape, dtype, chunks }: Whole, path: string) {
  const bytes = count(shape) * dtype.bytes
  const held = chunks.reduce((sum, { tensor }) => sum + tensor.byteLength, 0)
  if (dtype.bits % 8 !== 0 && chunks.length > 1) {
    const message = `tensor '${name}' is ${dtype.name}, in several chunks`
    return new UnsupportedError('UNSUPPORTED_LAYOUT', message, { path }, dtype.name)
  }
  if (cornersOf(shape, chunks) === undefined) {
    const message = `tensor '${name}' is cut along more than 8 dimensions`
    return new UnsupportedError('UNSUPPORTED_LAYOUT', message, { path }, 'cuts')
  }
  const found =
    Number.isSafeInteger(bytes) || held === 0 ? fault(shape, chunks) : 'it is larger than can be'
  if (found === undefined) return undefined
  return new FormatError('BAD_INDEX', `tensor '${name}' is not whole: ${found}`, { path })
}

/** Where the tensors of a file begin in the whole ones: at 0 where the file says nothing at all. */
function offsetsIn(file: FileContent): (name: string, ndim: number) => number[] | undefined {
  const text = file.metadata?.get('DCP_SHARDING_INFO')
  if (text === undefined) return (_, ndim) => Array.from({ length: ndim }, () => 0)
  let info: unknown
  try {
    info = JSON.parse(text)
  } catch (cause) {
    const message = 'DCP_SHARDING_INFO is no JSON text'
    throw new FormatError('BAD_INDEX', message, { path: file.path, cause })
  }
  return (name, ndim) => {
    const entry = own(info, name)
    const offsets = own(entry, 'saved_offsets')
    const isPlace =
      Array.isArray(offsets) &&
      offsets.length === ndim &&
      offsets.every((offset) => Number.isSafeInteger(offset) && offset >= 0)
    return isPlace ? (offsets as number[]) : undefined
  }
}

function own(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Record<string, unknown>)[key]
}
