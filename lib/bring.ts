/** Elements of checkpoints that are elsewhere, brought here before somebody looks at them. */
import { rowsWithParts, storedRange } from './extents'
import type { LoadOptions, Placed } from './load'
import type { Session } from './session'
import type { Range } from './values'

/** What tensors need of one session. */
interface Need {
  ranges: Range[]
  names: Map<Range, string>
  bytes: number
  loaded: number
}

/**
 * Until the elements of all tensors, and of their parts, can be looked at.
 *
 * @throws what {@link Checkpoint.load} rejects with
 */
export async function bring(
  tensors: readonly Placed[],
  { signal, onProgress }: LoadOptions,
): Promise<void> {
  signal?.throwIfAborted()
  const needs = new Map<Session, Need>()
  for (const { tensor, session, row } of tensors) {
    session.checkOpen()
    let need = needs.get(session)
    if (need === undefined) {
      need = { ranges: [], names: new Map(), bytes: 0, loaded: 0 }
      needs.set(session, need)
    }
    for (const range of rangesOf(session, row)) {
      need.ranges.push(range)
      need.names.set(range, tensor.name)
      need.bytes += range.end - range.start
    }
  }
  const total = [...needs.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  const work = Array.from(needs, async ([session, need]) => {
    const nameOf = (range: Range) => need.names.get(range)!
    await session.bring(need.ranges, {
      signal,
      nameOf,
      onProgress:
        onProgress &&
        (({ loaded: own, name }) => {
          need.loaded = own
          const loaded = [...needs.values()].reduce((sum, { loaded }) => sum + loaded, 0)
          onProgress({ phase: 'load', loaded, total, name })
        }),
    })
  })
  // None goes on behind the caller's back.
  const outcomes = await Promise.allSettled(work)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

/** Whether the elements of a tensor and of its parts can be looked at. */
export function isHere(session: Session, row: number): boolean {
  return session.isHere(rangesOf(session, row))
}

/** Bytes of storages that a tensor and its parts need. */
export function rangesOf(session: Session, row: number): Range[] {
  return rowsWithParts(session, row).flatMap((own) => storedRange(session, own) ?? [])
}
