/**
 * Writes files as DeepSpeed does, of any values: for what no DeepSpeed writes. Layout: torch.save of
 * the dicts that deepspeed/runtime/engine.py, _common_checkpoint_state and zero/stage3.py,
 * state_dict describe (0.19).
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bytes, op, u32, u64 } from './bytes'
import { type RecordSpec, writeArchive } from './checkpoint-writer'

/** A float32 tensor; row-major unless `stride` says otherwise. */
export class Flat {
  readonly values: Float32Array
  readonly shape: readonly number[]
  readonly stride: readonly number[] | undefined

  constructor(values: Iterable<number>, shape?: readonly number[], stride?: readonly number[]) {
    this.values = Float32Array.from(values)
    this.shape = shape ?? [this.values.length]
    this.stride = stride
  }
}

/** A `torch.Size`. */
export class Size {
  readonly sizes: readonly number[]

  constructor(...sizes: number[]) {
    this.sizes = sizes
  }
}

/** None, numbers, strings, lists, dicts, tensors and sizes. */
export type Value =
  | null
  | number
  | string
  | Flat
  | Size
  | readonly Value[]
  | ReadonlyMap<string, Value>
  | { readonly [name: string]: Value }

/** torch.save of `value`. */
export function writeStates(path: string, value: Value): void {
  const storages: Flat[] = []
  const pickle = bytes(op.PROTO, 2, encode(value, storages), op.STOP)
  const record = (name: string, data: Uint8Array): RecordSpec => {
    return { name, size: data.length, parts: [{ offset: 0, bytes: data }] }
  }
  writeArchive(path, [
    record('data.pkl', pickle),
    ...storages.map(({ values }, i) => record(`data/${i}`, new Uint8Array(values.buffer))),
    record('version', Buffer.from('3\n')),
  ])
}

function encode(value: Value, storages: Flat[]): Buffer {
  if (value === null) return bytes(op.NONE)
  if (typeof value === 'number') return bytes(0x8a, 8, u64(BigInt(value)))
  if (typeof value === 'string') return text(value)
  if (value instanceof Flat) return tensor(value, storages)
  if (value instanceof Size) {
    return bytes('ctorch\nSize\n', ints(value.sizes), op.TUPLE1, op.REDUCE)
  }
  if (Array.isArray(value)) {
    const items = value.map((item: Value) => encode(item, storages))
    return bytes(op.EMPTY_LIST, op.MARK, ...items, op.APPENDS)
  }
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  const items = entries.flatMap(([key, item]) => [text(key), encode(item, storages)])
  return bytes(op.EMPTY_DICT, op.MARK, ...items, op.SETITEMS)
}

function text(value: string): Buffer {
  const encoded = Buffer.from(value)
  return bytes(op.BINUNICODE, u32(encoded.length), encoded)
}

function ints(values: readonly number[]): Buffer {
  return bytes(op.MARK, ...values.map((value) => bytes(0x8a, 8, u64(BigInt(value)))), op.TUPLE)
}

function tensor(value: Flat, storages: Flat[]): Buffer {
  const { shape, values } = value
  const key = storages.push(value) - 1
  const stride = value.stride ?? shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
  const storage = ['storage', `${key}`, 'cpu'].map(text)
  return bytes(
    'ctorch._utils\n_rebuild_tensor_v2\n',
    op.MARK,
    ...[op.MARK, storage[0]!, 'ctorch\nFloatStorage\n', storage[1]!, storage[2]!],
    ...[encode(values.length, []), op.TUPLE, op.BINPERSID],
    ...[encode(0, []), ints(shape), ints(stride), op.NEWFALSE],
    ...['ccollections\nOrderedDict\n', op.EMPTY_TUPLE, op.REDUCE, op.TUPLE, op.REDUCE],
  )
}

/** What a test changes of a checkpoint. */
export interface Changes {
  /** 2 by default. */
  stage?: number
  /** Flat weights of each rank, for each group; two ranks and one group by default. */
  groups?: readonly (readonly Value[])[]
  shapes?: Value
  /** Of the model states. */
  model?: { readonly [name: string]: Value }
  /** Of the optimizer states. */
  optimizer?: { readonly [name: string]: Value }
  /** Written into `latest`. */
  tag?: string
}

/** The weights of {@link writeZero}: `a` of shape [2, 2], and `b` of shape [3]. */
export const WEIGHTS = { a: [1, 2, 3, 4], b: [5, 6, 7] }

/** Writes a directory: `a` lies in rank 0 and `b` in both in stage 2; returns that of the step. */
export function writeZero(path: string, changes: Changes = {}): string {
  const { stage = 2, tag = 'global_step7', model, optimizer } = changes
  const shapes = changes.shapes ?? [new Map([['a', new Size(2, 2)], ['b', new Size(3)]])] // biome-ignore format: a table
  const shares = stage === 3 ? [[1, 2, 5, 6], [3, 4, 7, 0]] : [[1, 2, 3, 4, 5], [6, 7]] // biome-ignore format: a table
  const groups = changes.groups ?? shares.map((values) => [new Flat(values)])
  const step = join(path, 'global_step7')
  mkdirSync(step, { recursive: true })
  writeFileSync(join(path, 'latest'), tag)
  const states = {
    module: { ...(stage === 3 ? {} : { a: new Flat([0]) }), mean: new Flat([9, 8]) },
    buffer_names: ['mean'],
    param_shapes: shapes,
    shared_params: { tied: 'a' },
    ...model,
  }
  const key = stage === 3 ? 'fp32_flat_groups' : 'single_partition_of_fp32_groups'
  for (const [rank, group] of groups.entries()) {
    const prefix = `zero_pp_rank_${rank}_mp_rank_00`
    if (stage === 3) writeStates(join(step, `${prefix}_model_states.pt`), states)
    writeStates(join(step, `${prefix}_optim_states.pt`), {
      optimizer_state_dict: {
        zero_stage: stage,
        partition_count: groups.length,
        [key]: group,
        ...optimizer,
      },
    })
  }
  if (stage !== 3) writeStates(join(step, 'mp_rank_00_model_states.pt'), states)
  return step
}
