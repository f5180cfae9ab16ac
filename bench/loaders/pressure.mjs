// pressure.mjs FILE HEAP-MIB: wraps every tensor of a checkpoint while a heap of that size is alive; V8 charges external
// buffers their full length and may collect for it. Prints JSON: milliseconds, and what was collected.

import { createRequire } from 'node:module'
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

const require = createRequire(import.meta.url)
const { openSync } = require('../../dist/index.js')

const [path, heapMebibytes] = process.argv.slice(2)

// Objects, not numbers: a collection has to visit them.
const alive = Array.from({ length: Number(heapMebibytes) * 8192 }, (_, i) => ({
  i,
  text: `object ${i}`,
  next: undefined,
}))

const collections = { major: 0, minor: 0, ms: 0 }
const observer = new PerformanceObserver((list) => {
  for (const { detail, duration } of list.getEntries()) {
    if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) ++collections.major
    if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) ++collections.minor
    collections.ms += duration
  }
})
globalThis.gc()
await pause(50)
observer.observe({ entryTypes: ['gc'] })

const start = performance.now()
const checkpoint = openSync(path)
let [tensors, bytes] = [0, 0]
const buffers = new Set()
for (const tensor of checkpoint.tensors.values()) {
  const { data } = tensor
  buffers.add(data.buffer)
  bytes += data.byteLength
  ++tensors
}
const ms = performance.now() - start

await pause(100)
const heap = process.memoryUsage().heapUsed / 2 ** 20
const told = { ms, tensors, bytes, buffers: buffers.size, heap, alive: alive.length, collections }
console.log(JSON.stringify(told))
