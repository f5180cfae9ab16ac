/** What a process holds of files, and the collector of what it no longer does. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Whether the system tells what is mapped. */
export const isTold: boolean = existsSync('/proc/self/maps')

/** How many pieces of a file are mapped; 0 where the system does not tell. */
export function mappings(path: string): number {
  if (!isTold) return 0
  const lines = readFileSync('/proc/self/maps', 'utf8').split('\n')
  return lines.filter((line) => line.includes(path)).length
}

/** How many descriptors of a file are open; 0 where the system does not tell. */
export function descriptors(path: string): number {
  if (!isTold) return 0
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path)
    } catch {
      return false
    }
  }).length
}

/** Bytes of JavaScript values that are still in use. */
export function heapInUse(): number {
  collect()
  return process.memoryUsage().heapUsed
}

/** Collects garbage until `isDone`; finalizers run in later turns of the event loop. */
export async function collectUntil(isDone: () => boolean): Promise<boolean> {
  for (let turn = 0; turn < 100; ++turn) {
    collect()
    await setImmediate()
    if (isDone()) return true
  }
  return false
}

/** What this process maps, where the system tells. */
export function maps(): string {
  return process.platform === 'linux' ? readFileSync('/proc/self/maps', 'utf8') : ''
}
