/**
 * Which directories are distributed checkpoints: torch's own, and those of Lightning and Megatron,
 * which keep the rest of a checkpoint in a file beside the index.
 */
import { join } from 'node:path'
import { FormatError, UnsupportedError } from '../../errors'
import type { FileContent } from '../../file-content'
import type { Request } from '../../request'
import { type Folder, readFolder, shortText } from '../folder'
import type { Plan } from '../plan'
import { Budget } from './budget'
import { DcpContent, type DcpSource } from './content'
import { tableOf } from './metadata'
import { DcpSafetensors } from './safetensors'
import type { Item, Path, Table } from './table'

/** The index that torch writes, and what a save without collectives leaves for each rank. */
const INDEX = '.metadata'
const RANK_INDEX = /^__(\d+)\.metadata$/

/** The files of HuggingFaceStorageWriter when each rank saves its share (_hf_utils.py, v2.13). */
const SAFETENSORS = /^shard-\d{5,}-model-\d{5,}-of-\d{5,}\.safetensors$/

/**
 * @throws {@link FormatError} `BAD_INDEX` where the index is missing or wrong
 * @throws {@link UnsupportedError} `UNSUPPORTED_FORMAT` for Megatron's other formats
 */
export function planOfDcp(folder: Folder, request: Request): Plan | undefined {
  const { path, files } = folder
  const megatron = files.has('metadata.json') ? backendOf(join(path, 'metadata.json')) : undefined
  if (megatron !== undefined && megatron !== 'torch_dist') {
    const message = `the directory is a Megatron checkpoint of the backend '${megatron}'`
    throw new UnsupportedError('UNSUPPORTED_FORMAT', message, { path }, megatron)
  }
  if (files.has(INDEX)) return planOf(path, INDEX, files, request)
  const ranks = [...files].filter((name) => RANK_INDEX.test(name))
  if (ranks.length === 1) return planOf(path, ranks[0]!, files, request)
  if (ranks.length > 1) {
    const message =
      `each of ${ranks.length} ranks has an index of its own share ('${ranks[0]}' ...): ` +
      'it was saved without collectives'
    throw new UnsupportedError('UNSUPPORTED_FORMAT', message, { path }, 'indexes by rank')
  }
  const shard = [...files].find((name) => name.endsWith('.distcp'))
  if (shard !== undefined) {
    const message = `the directory has '${shard}' but no '${INDEX}': saving was not finished`
    throw new FormatError('BAD_INDEX', message, { path })
  }
  const shards = [...files].filter((name) => SAFETENSORS.test(name))
  if (shards.length > 0) {
    return {
      files: shards.map((name) => join(path, name)),
      build: (opened) => new DcpSafetensors(path, opened, request),
    }
  }
  return planOfIterations(folder, request) ?? planOfRanks(folder)
}

function planOf(path: string, index: string, files: ReadonlySet<string>, request: Request): Plan {
  const besides = ['meta.pt', 'common.pt'].filter((name) => files.has(name))
  const besidePath = besides.length === 0 ? undefined : join(path, besides[0]!)
  return {
    files: [join(path, index), ...(besidePath === undefined ? [] : [besidePath])],
    build: ([metadata, beside]) => {
      const { size, root, path: indexPath } = metadata!
      const budget = new Budget(size, request.limits, indexPath!)
      const table = placed(tableOf(root, indexPath!, budget), beside)
      const source: DcpSource = {
        folder: path,
        era: eraOf(metadata!),
        table,
        budget,
        parts: [metadata!, ...(beside === undefined ? [] : [beside])].map((file) =>
          Object.freeze({ path: file.path!, isOpen: true, size: file.size }),
        ),
        beside,
        isWeight: besides[0] === 'common.pt' ? isWeightOfMegatron : undefined,
      }
      // The table is all that is needed of it.
      metadata!.close()
      return new DcpContent(source, request)
    },
  }
}

/** torch 1.13 has the classes elsewhere; later indexes do not say which version wrote them. */
function eraOf(metadata: FileContent): string {
  return metadata.rootClass.startsWith('torch.distributed._shard.checkpoint') ? '1.13' : ''
}

/**
 * Lightning's trainer saves `state_dict` and `optimizer_states` as items `model` or `state_dict`,
 * `optimizer_0` and so on, all else in `meta.pt`; here they get the names they have in its ordinary
 * checkpoints. Fabric saves what the user names, by these names.
 * Source: lightning/pytorch/strategies/fsdp.py, model_parallel.py, save_checkpoint;
 * lightning/fabric/utilities/consolidate_checkpoint.py (2.6).
 */
function placed(table: Table, beside: FileContent | undefined): Table {
  const rest = beside?.root
  if (!(rest instanceof Map) || !rest.has('pytorch-lightning_version')) return table
  const items = new Map<string, Item>()
  const paths = new Map<string, Path>()
  for (const [name, item] of table.items) {
    const [key, ...below] = table.paths?.get(name) ?? [name]
    const optimizer = /^optimizer_(\d{1,4})$/.exec(String(key))
    const path: Path =
      key === 'model'
        ? ['state_dict', ...below]
        : optimizer !== null
          ? ['optimizer_states', Number(optimizer[1]), ...below]
          : [key!, ...below]
    const full = path.join('.')
    const free = items.has(full) ? name : full
    items.set(free, item)
    paths.set(free, path)
  }
  return { items, paths }
}

/**
 * Megatron saves tensors under one level of names, without a wrapper around the weights.
 * Source: megatron/core/optimizer/distrib_optimizer.py, optimizer.py, sharded_state_dict.
 */
function isWeightOfMegatron(name: string): boolean {
  return !/^(chained_\d+\.)?optimizer\./.test(name)
}

/** The backend that Megatron's `metadata.json` names; nothing for another file of that name. */
function backendOf(path: string): string | undefined {
  const text = shortText(path, 2 ** 20)
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const backend = (value as { sharded_backend?: unknown } | null)?.sharded_backend
  return typeof backend === 'string' ? backend : undefined
}

const LATEST = 'latest_checkpointed_iteration.txt'
/** Bytes of what is in it. */
const LONGEST_ITERATION = 64

/** Megatron keeps a directory for each iteration, and a file that names the last one. */
function planOfIterations({ path, files, folders }: Folder, request: Request): Plan | undefined {
  if (!files.has(LATEST)) return undefined
  const text = shortText(join(path, LATEST), LONGEST_ITERATION)?.trim() ?? ''
  const isNumber = /^\d{1,15}$/.test(text)
  const name = isNumber ? `iter_${text.padStart(7, '0')}` : text
  if ((!isNumber && text !== 'release') || !folders.has(name)) {
    const message = `'${LATEST}' names '${text}', and there is no such directory`
    throw new FormatError('BAD_INDEX', message, { path })
  }
  const inner = readFolder(join(path, name))
  return planOfDcp(inner, request)
}

/** Megatron's older format has a file for each rank, in which tensors are cut as the model has it. */
function planOfRanks({ path, folders }: Folder): Plan | undefined {
  const ranks = [...folders].filter((name) => /^mp_rank_\d\d(_\d{3})*$/.test(name))
  const holders = ranks.filter((name) => readFolder(join(path, name)).files.has(MODEL))
  if (holders.length === 0) return undefined
  const files = holders.map((name) => join(path, name, MODEL))
  if (files.length === 1) return { files, build: ([content]) => content! }
  const shown = holders.slice(0, 4).map((name) => `'${name}/${MODEL}'`)
  const message =
    `the model is cut over ${files.length} ranks in ways that depend on the model; ` +
    `open one by one ${shown.join(', ')}${files.length > shown.length ? ' ...' : ''}`
  throw new UnsupportedError('UNSUPPORTED_FORMAT', message, { path }, 'tensor parallel ranks')
}

const MODEL = 'model_optim_rng.pt'
