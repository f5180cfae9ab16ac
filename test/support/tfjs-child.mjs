// tfjs-child.mjs: the example of TensorFlow.js in a process of its own. Prints what it found, as JSON.
import * as tf from '@tensorflow/tfjs-core'
import { open } from 'torchmap'
import { forecast, load, run } from '../../examples/tfjs/forecast.mjs'

const bytesOf = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)

const example = await run()
const backend = tf.backend()
const checkpoint = await open(new URL('../../examples/tcn.pth', import.meta.url))
const sample = await open(new URL('../../examples/tfjs/sample.pth', import.meta.url))
const folded = checkpoint.stateDict({ fold: true })
const tensors = new Map([...folded, ['window', sample.tensors.get('window')]])
const loaded = await load(tensors)

const heap = (name) => backend.typedArrayFromHeap(loaded.get(name))
const same = [...tensors].filter(([name, tensor]) =>
  bytesOf(heap(name)).equals(bytesOf(tensor.toFloat32())),
)

// Into a heap that had to grow.
const before = backend.wasm.HEAPU8.length
const large = await load(
  new Map(Array.from({ length: 2000 }, (_, i) => [i, folded.get('head.0.weight')])),
)
const bytes = bytesOf(folded.get('head.0.weight').data)
const grown = [...large.values()].filter((tensor) =>
  bytes.equals(bytesOf(backend.typedArrayFromHeap(tensor))),
)

// What is in the heap is what the engine computes with.
heap('head.2.bias').fill(1000)
const moved = forecast(loaded, loaded.get('window')).dataSync()

console.log(
  JSON.stringify({
    values: [...example.values],
    wanted: [...example.wanted],
    tensors: tensors.size,
    same: same.length,
    growth: backend.wasm.HEAPU8.length - before,
    grown: grown.length,
    moved: Math.min(...moved),
  }),
)
