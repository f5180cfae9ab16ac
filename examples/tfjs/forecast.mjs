// Forecasts a series with TensorFlow.js on WebAssembly, with the weights of the PyTorch checkpoint ../tcn.pth.
//
//   node examples/tfjs/forecast.mjs
//
// This engine has memory of its own, the heap of its module. The weights are read straight to their places in it;
// those of normalised convolutions, which the file keeps in two parts, are computed and then copied there.

import { pathToFileURL } from 'node:url'
import * as tf from '@tensorflow/tfjs-core'
import '@tensorflow/tfjs-backend-wasm'
import { open } from 'torchmap'

/** The tensors of a map in the heap of the engine, by name, as float32. */
export async function load(tensors) {
  const backend = tf.backend()
  // All places are made first: a heap that grows gets another ArrayBuffer.
  const places = new Map()
  for (const [name, { shape }] of tensors) places.set(name, backend.makeOutput([...shape], 'float32'))
  for (const [name, tensor] of tensors) {
    await tensor.readInto(backend.typedArrayFromHeap(places.get(name)), { dtype: 'float32' })
  }
  return new Map(Array.from(places, ([name, place]) => [name, tf.engine().makeTensorFromTensorInfo(place)]))
}

/** The network of ../make_tcn.py: takes [batch, 1, window], as torch does, and gives [batch, horizon]. */
export function forecast(weights, window) {
  const weight = (name) => weights.get(name)

  /** A causal convolution; torch has filters as [out, in, kernel], the engine as [kernel, in, out]. */
  function convolve(x, name, dilation = 1) {
    const filter = tf.transpose(weight(`${name}.weight`), [2, 1, 0])
    const past = tf.pad(x, [[0, 0], [(filter.shape[0] - 1) * dilation, 0], [0, 0]])
    return tf.add(tf.conv1d(past, filter, 1, 'valid', 'NWC', dilation), weight(`${name}.bias`))
  }

  function block(x, at) {
    const name = `blocks.${at}`
    const shortcut = weights.has(`${name}.downsample.weight`) ? convolve(x, `${name}.downsample`) : x
    const inner = tf.relu(convolve(x, `${name}.conv1`, 2 ** at))
    return tf.add(tf.relu(convolve(inner, `${name}.conv2`, 2 ** at)), shortcut)
  }

  const linear = (x, name) => tf.add(tf.matMul(x, weight(`${name}.weight`), false, true), weight(`${name}.bias`))

  return tf.tidy(() => {
    let x = tf.div(tf.sub(tf.transpose(window, [0, 2, 1]), weight('mean')), weight('scale'))
    for (let at = 0; weights.has(`blocks.${at}.conv1.weight`); ++at) x = block(x, at)
    const [batch, length, channels] = x.shape
    const last = tf.reshape(tf.slice(x, [0, length - 1, 0], [batch, 1, channels]), [batch, channels])
    const scaled = linear(tf.relu(linear(last, 'head.0')), 'head.2')
    return tf.add(tf.mul(scaled, weight('scale')), weight('mean'))
  })
}

/** The forecast for the window of sample.pth as the engine computes it, and as torch did when that was written. */
export async function run() {
  await tf.setBackend('wasm')
  const checkpoint = await open(new URL('../tcn.pth', import.meta.url))
  const sample = await open(new URL('sample.pth', import.meta.url))
  const weights = await load(checkpoint.stateDict({ fold: true }))
  checkpoint.close() // the weights are in the engine's memory now
  const { tensors } = sample
  const [window] = (await load(new Map([['window', tensors.get('window')]]))).values()
  const result = { values: forecast(weights, window).dataSync(), wanted: tensors.get('forecast').data.slice() }
  sample.close()
  return result
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values, wanted } = await run()
  const difference = Math.max(...values.map((value, i) => Math.abs(value / wanted[i] - 1)))
  console.log(`the next ${values.length} hours: ${Array.from(values, (value) => value.toFixed(1)).join(' ')}`)
  console.log(`largest difference from torch's, relative: ${difference.toExponential(1)}`)
}
