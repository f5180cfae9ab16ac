/** Checkpoints that are elsewhere: every golden, of which only comes what is asked for. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { checkpointOf } from '../lib/checkpoint'
import { type Checkpoint, isCheckpointError, openSync } from '../lib/index'
import type { RemoteObject, Sink } from '../lib/remote/object'
import { Request } from '../lib/request'
import { compare } from './support/compare'
import { FIXTURES, readManifest, SETS } from './support/golden'
import { thin } from './support/pace'
import { rejection, temporaryFolder } from './support/samples'

/** A file of which nothing comes that was not asked for. */
class Grudging implements RemoteObject {
  readonly path = undefined
  readonly head = new Uint8Array(0)
  readonly byteLength: number
  requests = 0

  constructor(
    readonly bytes: Uint8Array,
    readonly grain: number,
  ) {
    this.byteLength = bytes.length
  }

  async read(start: number, end: number, sink: Sink): Promise<void> {
    ++this.requests
    // In pieces that end anywhere.
    const middle = start + Math.floor((end - start) / 3)
    for (const [from, to] of [
      [start, middle],
      [middle, end],
    ] as const) {
      if (from < to) sink(from, this.bytes.slice(from, to))
    }
  }
}

async function loadAll(checkpoint: Checkpoint): Promise<void> {
  await checkpoint.load()
  for (const tensor of checkpoint.stateDict().values()) {
    await tensor.load().catch((error) => {
      const isWithoutData =
        isCheckpointError(error, 'UNSUPPORTED_LAYOUT') || isCheckpointError(error, 'LIMIT_STORAGE')
      if (!isWithoutData) throw error
    })
  }
}

/** Streams of pickles have to be walked; of tar archives every header is looked at. */
const WALKED = new Set(['legacy', 'tar', 'pickle', 'pt2', 'package'])

async function opened(source: string | Uint8Array, grain: number): Promise<Checkpoint> {
  const request = new Request({})
  const bytes = typeof source === 'string' ? readFileSync(source) : source
  const content = await request.openObject(new Grudging(bytes, grain))
  return checkpointOf(content, request.limits)
}

for (const set of SETS) {
  describe(set, () => {
    for (const row of readManifest(set)) {
      const path = join(FIXTURES, set, row.file)
      const grain = WALKED.has(row.format ?? '') ? 4096 : 16
      if (row.file === 'checksum-wrong.pt') {
        test(`${row.file} opens, and what is fetched of it is refused`, async () => {
          const checkpoint = await opened(path, grain)
          expect(await rejection(checkpoint.load())).toMatchObject({
            code: 'CHECKSUM_MISMATCH',
            record: 'data/0',
          })
          expect(checkpoint.tensors.get('weight')!.isLoaded).toBe(false)
        })
      } else if (row.error === undefined) {
        test(row.file, async () => {
          const checkpoint = await opened(path, grain)
          await loadAll(checkpoint)
          expect(compare(checkpoint, row)).toEqual([])
        })
      } else {
        test(`${row.file} is refused with ${row.error}`, async () => {
          const error = await rejection(opened(path, 4096))
          expect(error).toMatchObject({ code: row.error })
        })
      }
    }
  })
}

/** The code of what opening rejects with, or the names. */
async function outcome(checkpoint: () => Checkpoint | Promise<Checkpoint>): Promise<unknown> {
  try {
    return [...(await checkpoint()).tensors.keys()]
  } catch (error) {
    if (isCheckpointError(error)) return error.code
    throw error
  }
}

describe('damaged', () => {
  const path = join(temporaryFolder('remote-damaged'), 'model')

  test.each(['torch-2.13/tied.pt', 'torch-1.13/tied-legacy.pt', 'safetensors/blanks.safetensors'])(
    '%s is refused as from a file',
    async (file) => {
      const whole = readFileSync(join(FIXTURES, file))
      for (let at = 0; at < whole.length; at += thin) {
        const flipped = new Uint8Array(whole)
        flipped[at] = flipped[at]! ^ 0x5a
        for (const bytes of [whole.subarray(0, at), flipped]) {
          writeFileSync(path, bytes)
          const there = await outcome(() => opened(bytes, 16))
          expect({ at, there }).toEqual({ at, there: await outcome(() => openSync(path)) })
        }
      }
    },
  )
})
