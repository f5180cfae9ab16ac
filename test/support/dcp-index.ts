/** The index of a distributed checkpoint, entry by entry. */
import { join } from 'node:path'
import { openSync, type PyObject } from '../../lib/index'
import {
  type Code,
  call,
  dict,
  global,
  int,
  no,
  none,
  object,
  pickle,
  str,
  tuple,
} from './pickle-writer'

const METADATA = 'torch.distributed.checkpoint.metadata'

export const size = (...sizes: (number | bigint)[]): Code =>
  call(global('torch', 'Size'), tuple(...sizes.map(int)))

export const chunk = (offsets: Code, sizes: Code): Code =>
  object(METADATA, 'ChunkStorageMetadata', dict([str('offsets'), offsets], [str('sizes'), sizes]))

export function properties(dtype: Code = global('torch', 'float32'), layout?: Code): Code {
  const strided = call(global('torch.serialization', '_get_layout'), str('torch.strided'))
  const format = call(global(METADATA, '_MEM_FORMAT_ENCODING'), int(0))
  return object(METADATA, 'TensorProperties', tuple(dtype, layout ?? strided, no, format, no))
}

export const tensor = (shape: Code, chunks: Code, props: Code = properties()): Code =>
  object(
    METADATA,
    'TensorStorageMetadata',
    dict([str('properties'), props], [str('size'), shape], [str('chunks'), chunks]),
  )

export const bytes: Code = object(METADATA, 'BytesStorageMetadata')

export const index = (fqn: string, offset?: Code): Code =>
  object(
    METADATA,
    'MetadataIndex',
    dict([str('fqn'), str(fqn)], [str('index'), none], ...pair('offset', offset)),
  )

export const place = (file: Code, offset: Code, length: Code, transforms?: Code): Code =>
  object(
    'torch.distributed.checkpoint.filesystem',
    '_StorageInfo',
    dict(
      [str('relative_path'), file],
      [str('offset'), offset],
      [str('length'), length],
      ...pair('transform_descriptors', transforms),
    ),
  )

export interface Entries {
  items: [string, Code][]
  stored: [Code, Code][]
  planned?: Code
}

export function metadata({ items, stored, planned }: Entries): Buffer {
  const state = dict(
    [
      str('state_dict_metadata'),
      dict(...items.map(([name, item]) => [str(name), item] as [Code, Code])),
    ],
    [str('storage_data'), dict(...stored)],
    ...pair('planner_data', planned),
  )
  return pickle(object(METADATA, 'Metadata', state))
}

/** planner_data: paths of keys, numbers for list indices. */
export const paths = (...entries: [string, (string | number)[]][]): Code =>
  dict(
    ...entries.map(([name, path]): [Code, Code] => [
      str(name),
      tuple(...path.map((key) => (typeof key === 'string' ? str(key) : int(key)))),
    ]),
  )

function pair(key: string, value: Code | undefined): [Code, Code][] {
  return value === undefined ? [] : [[str(key), value]]
}

export interface Place {
  file: string
  offset: number
  length: number
}

/** Where torch has put a chunk, out of the index as an ordinary pickle. */
export function placeOf(folder: string, name: string, offset: number[]): Place {
  using checkpoint = openSync(join(folder, '.metadata'))
  const state = (checkpoint.root as PyObject).state as Map<string, Map<PyObject, PyObject>>
  for (const [key, info] of state.get('storage_data')!) {
    const index = key.state as Map<string, unknown>
    if (index.get('fqn') !== name || String(index.get('offset')) !== String(offset)) continue
    const fields = info.state as Map<string, never>
    return {
      file: fields.get('relative_path')!,
      offset: fields.get('offset')!,
      length: fields.get('length')!,
    }
  }
  throw new Error(`${name} is not in the fixture`)
}
