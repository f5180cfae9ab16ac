/** Which requests bring the bytes that are wanted. */

/** Bytes [start, end) of a file. */
export interface Stretch {
  start: number
  end: number
  /** Whether two requests may bring a part of it each. */
  isCuttable: boolean
}

/** Bytes of a request: enough that its latency does not count, few enough to share among many. */
const SHORTEST = 2 ** 20
const LONGEST = 2 ** 24

/**
 * Ranges that have all of `stretches`, which are in order: neighbours together, long ones cut so
 * that every connection has something to do.
 */
export function requestsFor(
  stretches: readonly Stretch[],
  connections: number,
  grain: number,
): { start: number; end: number }[] {
  const total = stretches.reduce((sum, { start, end }) => sum + end - start, 0)
  const most = Math.min(Math.max(Math.ceil(total / connections), SHORTEST), LONGEST)
  const requests: { start: number; end: number }[] = []
  let open: { start: number; end: number } | undefined
  for (const stretch of stretches) {
    const { isCuttable } = stretch
    let { start, end } = stretch
    if (open !== undefined && start - open.end < grain) {
      const room = open.start + most
      if (end <= room || end <= open.end) {
        open.end = Math.max(open.end, end)
        continue
      }
      if (isCuttable && start < room) {
        open.end = Math.max(open.end, room)
        start = open.end
      } else {
        start = Math.max(start, isCuttable ? open.end : start)
      }
    }
    while (isCuttable && end - start > most) {
      requests.push({ start, end: start + most })
      start += most
    }
    open = { start, end }
    requests.push(open)
  }
  return requests
}
