// session.mjs FILE SECONDS: single operations of torchmap, timed by benchmark in this process. Prints JSON.

import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const Benchmark = require('benchmark')
const { open, openSync } = require('../../dist/index.js')

const [path, seconds] = process.argv.slice(2)
const maxTime = Number(seconds)

/** Samples in milliseconds for each call. */
function measure(name, work) {
  const bench = new Benchmark(name, work, { maxTime, minSamples: 20 }).run()
  if (bench.error) throw bench.error
  return bench.stats.sample.map((s) => 1e3 * s)
}

function measureAsync(name, work) {
  return new Promise((resolve, reject) => {
    const fn = (deferred) => work().then(() => deferred.resolve(), reject)
    new Benchmark(name, fn, {
      defer: true,
      maxTime,
      minSamples: 20,
      onComplete() {
        resolve(this.stats.sample.map((s) => 1e3 * s))
      },
    }).run()
  })
}

const held = openSync(path)
const names = [...held.tensors.keys()]
const tensors = [...held.tensors.values()]
// Something is done with every result, so that nothing is left out as useless.
let used = 0

const results = [
  ['`openSync()` and `close()`', 'the whole file', () => openSync(path).close()],
  [
    '`openSync()`, every name, dtype and shape, `close()`',
    'the whole file',
    () => {
      const opened = openSync(path)
      for (const [name, { dtype, shape }] of opened.tensors)
        used += name.length + dtype.length + shape.length
      opened.close()
    },
  ],
  [
    '`openSync()`, `stateDict()`, `close()`',
    'the whole file',
    () => {
      const opened = openSync(path)
      used += opened.stateDict().size
      opened.close()
    },
  ],
  [
    '`tensors.get(name)`',
    'all names, asked for before',
    () => {
      for (const name of names) used += held.tensors.get(name).name.length
    },
  ],
  [
    '`tensor.shape` and `tensor.dtype`',
    'all tensors, asked for before',
    () => {
      for (const { shape, dtype } of tensors) used += shape.length + dtype.length
    },
  ],
  [
    '`tensor.data`',
    'all tensors, asked for before',
    () => {
      for (const { data } of tensors) used += data.length
    },
  ],
  [
    '`tensor.bytes()`',
    'a new view of each tensor',
    () => {
      for (const tensor of tensors) used += tensor.bytes().length
    },
  ],
  [
    '`toFloat32()`',
    'all tensors; float32 as it is, others converted',
    () => {
      for (const tensor of tensors) used += tensor.toFloat32().length
    },
  ],
].map(([name, about, work]) => ({ name, about, samples: measure(name, work) }))

results.push({
  name: '`await open()` and `close()`',
  about: 'the whole file, off the main thread',
  samples: await measureAsync('open', async () => (await open(path)).close()),
})
results.push({
  name: '`await verify()`',
  about: 'every record of the open checkpoint',
  samples: await measureAsync('verify', async () => {
    used += (await held.verify()).length
  }),
})
console.log(JSON.stringify({ results, tensors: tensors.length, used: used > 0 }))
