/** Checkpoints in several threads, and in threads that end while they hold tensors. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { expect, jest, test } from '@jest/globals'
import { openSync } from '../lib/index'
import { inProcess, inThread, LIBRARY, REGISTER } from './support/child'
import { isTold, mappings } from './support/memory'
import { ramp, temporaryFolder, tensorOf, writeSample } from './support/samples'

// The sanitizers make everything slow.
jest.setTimeout(300_000)

const folder = temporaryFolder('lifetime-threads')
const path = writeSample(join(folder, 'sample.pth'))

/** The only message of a thread; rejects with the error that ends it. */
const messageOf = async (worker: Worker) => ((await once(worker, 'message')) as [unknown])[0]

test('four threads open one file, each writes to its own pages', async () => {
  const checkpoint = openSync(path)
  const { data } = tensorOf(checkpoint, 'weight')
  const workers = [1, 2, 3, 4].map((id) =>
    inThread(
      async ({ open, openSync }, path, id) => {
        for (let i = 0; i < 50; ++i) {
          const checkpoint = i % 2 === 0 ? openSync(path) : await open(path)
          const { data } = checkpoint.tensors.get('weight')!
          const before = Array.from(data, Number)
          data.fill(id as never)
          const tied = Array.from(checkpoint.tensors.get('tied')!.data, Number)
          checkpoint.close()
          if (before[5] !== 5 || tied.some((value) => value !== id)) return { before, tied }
        }
        return 'fine'
      },
      [path, id],
    ),
  )
  expect(await Promise.all(workers.map(messageOf))).toEqual(['fine', 'fine', 'fine', 'fine'])
  await Promise.all(workers.map((worker) => worker.terminate()))
  expect(data).toEqual(ramp(6))
  checkpoint.close()
  expect(mappings(path)).toBe(0)
})

test('threads that end give their pages back, whether they return, exit or are terminated', async () => {
  for (const how of ['return', 'exit', 'terminate']) {
    const worker = inThread(
      ({ openSync }, path, how) => {
        const { parentPort } = require('node:worker_threads') as typeof import('worker_threads')
        const held = Array.from({ length: 20 }, () => openSync(path).tensors.get('weight')?.data)
        parentPort?.postMessage(held.length)
        if (how === 'exit') process.exit()
        if (how === 'terminate') setInterval(() => held, 1000)
        return held.length
      },
      [path, how],
    )
    const exit = once(worker, 'exit')
    expect(await messageOf(worker)).toBe(20)
    if (how === 'terminate' && isTold) expect(mappings(path)).toBe(20)
    if (how === 'terminate') await worker.terminate()
    await exit
    // The thread's own teardown frees the buffers; where it is late, it is so by turns of the loop.
    for (let i = 0; i < 100 && mappings(path) > 0; ++i) await sleep(10)
    expect({ how, left: mappings(path) }).toEqual({ how, left: 0 })
  }
})

test('threads terminated in the middle of opening take nobody with them', () => {
  const ending = inProcess(
    async ({ open }, path, childModule) => {
      const { inThread } = require(childModule) as typeof import('./support/child')
      for (let round = 0; round < 10; ++round) {
        const worker = inThread(
          async ({ open }, path) => {
            const { parentPort } = require('node:worker_threads') as typeof import('worker_threads')
            parentPort?.postMessage('begins')
            for (;;) await Promise.all([1, 2, 3, 4].map(() => open(path)))
          },
          [path],
        )
        await new Promise((resolve) => worker.once('message', resolve))
        await new Promise((resolve) => setTimeout(resolve, 2 * round))
        await worker.terminate()
      }
      const checkpoint = await open(path)
      return Array.from(checkpoint.tensors.get('weight')!.data, Number)
    },
    [path, join(__dirname, 'support/child')],
  )
  expect([ending.how, ending.stderr]).toEqual([0, ''])
  expect(ending.result).toEqual([0, 1, 2, 3, 4, 5])
})

test('exit in the middle of opening', () => {
  for (const turns of [0, 1, 2]) {
    const ending = inProcess(
      ({ open }, path, turns) => {
        for (let i = 0; i < 64; ++i) void open(path)
        const wait = (left: number) => {
          if (left === 0) process.exit(3)
          setImmediate(wait, left - 1)
        }
        wait(turns)
      },
      [path, turns],
    )
    expect([ending.how, ending.stderr]).toEqual([3, ''])
  }
})

test('posting a tensor to a thread copies it', async () => {
  const checkpoint = openSync(path)
  const { data } = tensorOf(checkpoint, 'weight')
  const worker = inThread(() => {
    const { parentPort } = require('node:worker_threads') as typeof import('worker_threads')
    return new Promise<number[]>((resolve) => {
      parentPort?.once('message', (data: Float32Array) => {
        resolve(Array.from(data.fill(7)))
      })
      parentPort?.postMessage('ready')
    })
  }, [])
  await messageOf(worker)
  const answer = messageOf(worker)
  worker.postMessage(data)
  expect(await answer).toEqual([7, 7, 7, 7, 7, 7])
  expect(data).toEqual(ramp(6))
  await worker.terminate()
  checkpoint.close()
})

// A handler of signals that was set over the addon's may call it at any time.
test('the code of the addon stays when the last thread that has loaded it ends', () => {
  if (!isTold) return
  // Without the library in the main thread.
  const code = `
    const { readFileSync } = require('node:fs')
    const { Worker } = require('node:worker_threads')
    const isLoaded = () => readFileSync('/proc/self/maps', 'latin1').includes('torchmap.node')
    const before = isLoaded()
    const work = 'require(process.env.LIBRARY).openSync(process.env.FILE).close()'
    const run = () => new Promise((resolve) => {
      new Worker(work, { eval: true, execArgv: ['-r', process.env.REGISTER] }).on('exit', resolve)
    })
    const report = async () => {
      const codes = [await run(), await run()]
      console.log(JSON.stringify([before, ...codes, isLoaded()]))
    }
    report()`
  const env = { ...process.env, LIBRARY, REGISTER, FILE: path }
  // The compiler of TypeScript, which could not be unloaded either, is there from the start.
  const args = ['-r', REGISTER, '-e', code]
  const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', env })
  expect(JSON.parse(stdout)).toEqual([false, 0, 0, true])
})
