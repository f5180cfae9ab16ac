// The loader's end of the line protocol: one line of JSON when it is ready, then one for each line "<what> TAB <path>".

import { createInterface } from 'node:readline'

/** Collects garbage outside the clock: twice, since finalizers let go of more. */
async function rest() {
  globalThis.gc?.()
  await new Promise(setImmediate)
  globalThis.gc?.()
}

/**
 * Answers runs with `loads[what](path)`, which gives { tensors, sum, held }: `held` lives until the clock has stopped and
 * is closed after it. A load may start the clock itself by giving `ms`.
 */
export async function serve(version, loads) {
  const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)
  say({ version })
  for await (const line of createInterface({ input: process.stdin })) {
    const [what, path = ''] = line.split('\t')
    try {
      if (!Object.hasOwn(loads, what)) throw new Error(`no clock ${what}`)
      await rest()
      const start = performance.now()
      const given = loads[what](path)
      // Without a turn of the event loop for what is ready at once.
      const loaded = given instanceof Promise ? await given : given
      const elapsed = performance.now() - start
      const { held, ...told } = loaded
      held?.close?.()
      say({ ms: elapsed, ...told })
    } catch (error) {
      say({ error: error.message })
    }
  }
}
