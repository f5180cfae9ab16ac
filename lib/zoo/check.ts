/** One model in, one result out; no state is shared between two. */
import { statSync } from 'node:fs'
import type { Checkpoint } from '../checkpoint'
import { isCheckpointError, isFileError } from '../errors'
import type { Limits } from '../limits'
import { open, openSync } from '../open'
import { rowOf } from '../tensor'
import { compareExpected, type Expected, gapsOf } from './complete'
import { digestOf, digestOfFile } from './digest'
import { finding, statusOf } from './finding'
import { portabilityOf } from './portable'
import type { Finding, Integrity, NamedGlobal, Result, Safety, TensorDetail } from './result'
import { scanSafety, scanSafetySync } from './safety/scan'
import { statisticsOf, valueFindings } from './values'
import type { Model } from './walk'
import { integrityOf, sharingOf, skippedOf, unusedRecords } from './whole'

export interface CheckOptions {
  /** Looks at the values of all tensors. */
  readonly deep?: boolean
  /** Bars of the histograms that a deep look makes; none by default. */
  readonly bins?: number
  /** Gives digests of files and tensors. */
  readonly digests?: boolean
  /** What tensors there should be. */
  readonly expected?: ReadonlyMap<string, Expected>
  readonly limits?: Partial<Limits>
  readonly signal?: AbortSignal
}

/** What is found out on the way. */
class Draft {
  constructor(readonly path: string) {}

  readonly findings: Finding[] = []
  readonly globals: NamedGlobal[] = []
  integrity: Integrity = 'unreadable'
  safety: Safety = 'safe'
  about: Partial<Pick<Result, 'format' | 'flavor' | 'producer' | 'files' | 'details'>> = {}
  tensors = 0
}

/**
 * Bytes of models that are looked at on the main thread: handing work to another one and waiting for
 * it takes longer. Not more, since a hostile one can inflate to a thousand times as many.
 */
const SMALL = 2 ** 17

/** From the best to the worst. */
const SAFETIES: readonly Safety[] = ['safe', 'needs-review', 'incomplete', 'dangerous']

/** @throws only what is about this process: the signal's reason, too many open files */
export async function checkModel(model: Model, options: CheckOptions = {}): Promise<Result> {
  const start = performance.now()
  const draft = new Draft(model.path)
  const before = statesOf(model)
  if (model.error === undefined) {
    const isSmall = bytesOf(before) <= SMALL
    await look(draft, () => scan(draft, model, isSmall, options))
    if (model.isOther) draft.integrity = 'none'
    else await look(draft, () => readWhole(draft, model, isSmall, options))
  } else {
    draft.findings.push(finding('whole/system', model.error.message))
    draft.safety = 'incomplete'
  }
  options.signal?.throwIfAborted()
  const changed = changes(before, statesOf(model))
  for (const path of changed)
    draft.findings.push(
      finding('whole/changed', `'${path}' changed meanwhile`, path === model.path ? {} : { path }),
    )
  const { findings, globals, integrity, safety, about, tensors } = draft
  return {
    path: model.path,
    ...about,
    status: statusOf(findings),
    integrity,
    safety,
    globals,
    tensors,
    bytes: bytesOf(before),
    ms: Math.round((performance.now() - start) * 1000) / 1000,
    findings,
  }
}

/** Does a part of the work; what is wrong with the model is a finding. */
async function look(draft: Draft, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const found = findingOf(error, draft.path)
    if (found === undefined) throw error
    const isKnown = draft.findings.some(({ rule, message }) => {
      return rule === found.rule && message === found.message
    })
    if (!isKnown) draft.findings.push(found)
  }
}

/** Nothing for an error that is not about the model. */
function findingOf(error: unknown, model: string): Finding | undefined {
  if (isFileError(error)) return finding('whole/system', error.message)
  if (!isCheckpointError(error)) return undefined
  const { message, path, record, offset } = error
  const place = {
    ...(path === undefined || path === model ? {} : { path }),
    ...(record === undefined ? {} : { record }),
    ...(offset === undefined ? {} : { offset }),
  }
  if (error.code === 'MISSING_SHARD') return finding('complete/shard', message, place)
  if (error.code === 'FILE_CHANGED') return finding('whole/changed', message, place)
  return finding('whole/unreadable', message, place)
}

async function scan(
  draft: Draft,
  { files }: Model,
  isSmall: boolean,
  { limits, signal }: CheckOptions,
): Promise<void> {
  for (const path of files) {
    signal?.throwIfAborted()
    const { safety, globals, findings } = isSmall
      ? scanSafetySync(path, { limits })
      : await scanSafety(path, { limits, signal })
    if (SAFETIES.indexOf(safety) > SAFETIES.indexOf(draft.safety)) draft.safety = safety
    draft.globals.push(...globals)
    draft.findings.push(...findings)
  }
}

async function readWhole(
  draft: Draft,
  { source, path: name, files }: Model,
  isSmall: boolean,
  options: CheckOptions,
): Promise<void> {
  const { limits, signal } = options
  const given = { limits, signal, parts: 'lazy', io: 'pread' } as const
  const checkpoint = isSmall ? openSync(source, given) : await open(source, given)
  try {
    const { format, flavor, producer, tensors } = checkpoint
    const words = [producer.framework?.name, producer.torch && `torch ${producer.torch}`]
    draft.about = { format, flavor, producer: words.filter(Boolean).join(', ') }
    draft.tensors = tensors.size
    const verdicts = isSmall ? checkpoint.verifySync() : await checkpoint.verify({ signal })
    const { integrity, findings } = integrityOf(verdicts, name)
    draft.integrity = integrity
    draft.findings.push(...findings, ...unusedRecords(verdicts, name), ...skippedOf(checkpoint))
    draft.findings.push(...sharingOf(tensors), ...portabilityOf(checkpoint, draft.globals))
    await look(draft, async () => completeness(draft, checkpoint, options))
    if (options.deep || options.digests) await values(draft, checkpoint, options)
    if (options.digests) {
      const digests: Record<string, string> = {}
      for (const path of files) digests[path] = await digestOfFile(path, { signal })
      draft.about = { ...draft.about, files: digests }
    }
  } finally {
    checkpoint.close()
  }
}

async function completeness(
  draft: Draft,
  checkpoint: Checkpoint,
  { expected }: CheckOptions,
): Promise<void> {
  const weights = checkpoint.stateDict()
  draft.findings.push(...gapsOf(weights.keys()))
  if (expected !== undefined) draft.findings.push(...compareExpected(weights, expected))
}

/** One tensor after another, in the order of the file. */
async function values(draft: Draft, checkpoint: Checkpoint, options: CheckOptions): Promise<void> {
  const { deep = false, digests = false, bins = 0, signal } = options
  const details: TensorDetail[] = []
  const parts = checkpoint.training.map(({ path }) => path)
  const isTraining = (name: string) => {
    return parts.some((part) => part === '' || name === part || name.startsWith(`${part}.`))
  }
  for await (const tensor of checkpoint.stream({ signal })) {
    const { name, dtype, shape, byteLength } = tensor
    let detail: TensorDetail = { name, dtype, shape, bytes: byteLength }
    await look(draft, async () => {
      if (deep && !rowOf(tensor).session.isRemote) {
        const found = await statisticsOf(tensor, { bins, signal })
        draft.findings.push(...valueFindings(name, tensor, found, isTraining(name)))
        detail = { ...detail, values: found }
      }
      if (digests) detail = { ...detail, digest: await digestOf(tensor, { signal }) }
    })
    details.push(detail)
  }
  draft.about = { ...draft.about, details }
}

interface State {
  size: number
  mtimeNs: bigint
}

/** Nothing for a file that is not there. */
function statesOf({ files }: Model): Map<string, State | undefined> {
  return new Map(
    files.map((path) => {
      const found = statSync(path, { bigint: true, throwIfNoEntry: false })
      return [path, found && { size: Number(found.size), mtimeNs: found.mtimeNs }]
    }),
  )
}

function bytesOf(states: ReadonlyMap<string, State | undefined>): number {
  return [...states.values()].reduce((sum, state) => sum + (state?.size ?? 0), 0)
}

function changes(
  before: ReadonlyMap<string, State | undefined>,
  after: ReadonlyMap<string, State | undefined>,
): string[] {
  return [...before].flatMap(([path, state]) => {
    const now = after.get(path)
    return state?.size === now?.size && state?.mtimeNs === now?.mtimeNs ? [] : [path]
  })
}
