/** Whether the bytes are what was saved, and whether all of them are of use. */
import type { Checkpoint } from '../checkpoint'
import { storedRange } from '../extents'
import type { Storage } from '../storage'
import { rowOf, type Tensor } from '../tensor'
import type { RecordVerdict } from '../verify'
import { finding } from './finding'
import type { Finding, Integrity } from './result'

/** Bytes that are not worth a word. */
const LEAST_WASTED = 2 ** 16

/** Share of a storage that tensors must use, else it is called wasted. */
const LEAST_USED = 0.5

/** Names that are told of a record or a storage; the others are counted. */
const MOST_NAMES = 5

/** What the checksums say of the whole, and of each record that is not as it was. */
export function integrityOf(
  verdicts: readonly RecordVerdict[],
  model: string,
): {
  integrity: Integrity
  findings: Finding[]
} {
  const findings: Finding[] = []
  const seen = new Set(verdicts.map(({ verdict }) => verdict))
  for (const { record, verdict, path, tensors, message, item } of verdicts) {
    if (verdict !== 'mismatch') continue
    const what = record === '' ? 'the file' : `record '${record}'`
    const spoilt = tensors.length === 0 ? '' : ` and spoils ${listed(tensors)}`
    const why = message ?? 'is not what its checksum was made of'
    const text =
      record === '' ? why : `${what} ${message === undefined ? why : `is damaged: ${why}`}`
    const place = {
      ...(path === undefined || path === model ? {} : { path }),
      ...(record === '' ? {} : { record: item === undefined ? record : `${item}/${record}` }),
      ...(tensors[0] === undefined ? {} : { tensor: tensors[0] }),
    }
    findings.push(finding('whole/checksum', `${text}${spoilt}`, place))
  }
  const absent = verdicts.filter(({ verdict }) => verdict === 'absent').length
  if (absent > 0) {
    const message = `${absent} of ${verdicts.length} records have no checksum`
    findings.push(finding('whole/no-checksum', message))
  }
  const integrity = seen.has('mismatch')
    ? 'mismatch'
    : seen.has('absent')
      ? 'absent'
      : seen.has('ok')
        ? 'ok'
        : 'none'
  return { integrity, findings }
}

/** Records of an archive with elements that no tensor has. */
export function unusedRecords(verdicts: readonly RecordVerdict[], model: string): Finding[] {
  return verdicts
    .filter(({ record, tensors, bytes }) => {
      return tensors.length === 0 && bytes > 0 && /(^|\/)data\/[^/.]+$/.test(record)
    })
    .map(({ record, bytes, path }) => {
      const message = `no tensor uses record '${record}' of ${bytes} bytes`
      return finding('whole/unused-record', message, {
        record,
        ...(path === undefined || path === model ? {} : { path }),
      })
    })
}

/** What of the storages is wasted, and which tensors share their elements. */
export function sharingOf(tensors: Iterable<readonly [string, Tensor]>): Finding[] {
  const uses = new Map<Storage, Use[]>()
  for (const [name, tensor] of tensors) {
    const { storage } = tensor
    const { session, row } = rowOf(tensor)
    const range = storedRange(session, row)
    if (storage === undefined || range === undefined) continue
    const { start, end } = range
    const known = uses.get(storage)
    const use = { name, start, end, shape: tensor.shape.join() }
    if (known === undefined) uses.set(storage, [use])
    else known.push(use)
  }
  return [...uses].flatMap(([storage, all]) => [...wasted(storage, all), ...tied(storage, all)])
}

interface Use {
  name: string
  start: number
  end: number
  shape: string
}

function wasted({ byteLength, key }: Storage, uses: readonly Use[]): Finding[] {
  let [used, behind] = [0, 0]
  for (const { start, end } of [...uses].sort((a, b) => a.start - b.start)) {
    used += Math.max(0, end - Math.max(start, behind))
    behind = Math.max(behind, end)
  }
  if (byteLength - used < LEAST_WASTED || used / byteLength >= LEAST_USED) return []
  const names = uses.map(({ name }) => name)
  const share = ((100 * used) / byteLength).toFixed(used / byteLength < 0.1 ? 1 : 0)
  const message = `${listed(names)} use ${used} of the ${byteLength} bytes of storage '${key}', ${share} %`
  return [finding('whole/wasted', message, { tensor: names[0]! })]
}

/** Tensors that are the same, not those that only lie in one storage. */
function tied(storage: Storage, uses: readonly Use[]): Finding[] {
  if (uses.length < 2) return []
  const same = new Map<string, string[]>()
  for (const { name, start, end, shape } of uses) {
    const key = `${start} ${end} ${shape}`
    same.set(key, [...(same.get(key) ?? []), name])
  }
  return [...same.values()]
    .filter((names) => names.length > 1)
    .map((names) => {
      const message = `${listed(names)} are one tensor, over storage '${storage.key}'`
      return finding('whole/tied', message, { tensor: names[0]! })
    })
}

/** What the checkpoint could not give. */
export function skippedOf({ skipped }: Checkpoint): Finding[] {
  return skipped.map(({ name, code, message }) => {
    const rule =
      code === 'MISSING_SHARD' || code === 'BAD_INDEX' ? 'complete/shard' : 'whole/skipped'
    return finding(rule, `'${name}' cannot be given: ${message}`, { tensor: name })
  })
}

/** `tensor 'a', 'b' and 3 more` */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, MOST_NAMES).map((name) => `'${name}'`)
  const more = names.length - shown.length
  return `tensor${names.length === 1 ? '' : 's'} ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
