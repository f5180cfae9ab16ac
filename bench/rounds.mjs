// Runs contestants against each other: A B C, A B C, so that a slow minute of the machine meets all of them.

import { Contestant } from './contestant.mjs'
import { starting } from './contestants.mjs'
import { median } from './statistics.mjs'

/** How often, and for how long. Milliseconds. */
export const PACES = {
  // A turn begins with a run that is told apart (`resumes`): the process stood still while the others had theirs, which may
  // be most of a minute. Behind it are as many runs as fit into `turn`, ten at most, and their median counts: the second run
  // is still one in a heap that V8 has given back meanwhile, so what takes tens of milliseconds has a few. Rounds of
  // warm-up are not counted; their turns last `warming`, and who needed two seconds for the first run has one only. Whoever
  // has used `budget` sits out once it has `least` samples; no run lasts longer than `limit`, and one that lasts longer
  // than `patience` is not repeated.
  full: {
    warmups: 2,
    rounds: 11,
    warming: 500,
    turn: 100,
    resumes: true,
    least: 5,
    budget: 6_000,
    patience: 20_000,
    limit: 60_000,
  },
  quick: {
    warmups: 1,
    rounds: 3,
    warming: 200,
    turn: 20,
    resumes: true,
    least: 2,
    budget: 2_000,
    patience: 5_000,
    limit: 20_000,
  },
}

/**
 * One cell for each of `entries`, which are { loader, what, path }: { samples: [{ round, ms }], resumed: the same, first, version,
 * tensors, sum }, or { absent } with what installs it, or { error }. `prepare(path)` runs before each run, outside the
 * clock, and says whether the run counts.
 */
export async function play(entries, pace, prepare = () => true) {
  const seats = []
  for (const entry of entries) seats.push(await seat(entry))
  for (let round = -pace.warmups; round < pace.rounds; ++round) {
    // Who comes first changes, so that nobody always follows the same one.
    for (let i = 0; i < seats.length; ++i) {
      const place = seats[(i + round + seats.length * pace.warmups) % seats.length]
      if (isPlaying(place, round, pace)) await turn(place, round, pace, prepare)
    }
  }
  await Promise.all(seats.map(({ contestant }) => contestant?.stop()))
  return seats.map(({ cell }) => cell)
}

async function seat(entry) {
  const { command, env, absent } = starting(entry.loader)
  if (absent !== undefined) return { entry, cell: { absent }, isOut: true }
  const cell = { samples: [], resumed: [] }
  const contestant = new Contestant(command, env)
  try {
    await contestant.start()
    cell.version = contestant.version
    return { entry, cell, contestant, spent: 0, isOut: false }
  } catch (error) {
    cell.error = error.message
    return { entry, cell, isOut: true }
  }
}

function isPlaying({ isOut, spent, cell }, round, { budget, least }) {
  if (isOut) return false
  if (round < 0) return cell.first === undefined || cell.first < 2000
  return spent < budget || cell.samples.length < least
}

async function turn(place, round, pace, prepare) {
  const { cell } = place
  const { patience, limit } = pace
  const length = round < 0 ? pace.warming : pace.turn
  try {
    if (round >= 0 && pace.resumes) {
      const { ms } = await run(place, limit, prepare)
      cell.resumed.push({ round, ms })
      place.spent += ms
    }
    const runs = []
    let used = 0
    do {
      const result = await run(place, limit, prepare)
      used += result.ms
      if (result.isReady) runs.push(result.ms)
    } while (used < length && runs.length < 10)
    if (round >= 0) place.spent += used
    place.isOut = used > patience
    if (runs.length > 0 && (round >= 0 || place.isOut))
      cell.samples.push({ round, ms: median(runs) })
  } catch (error) {
    place.isOut = true
    if (error.isLate && cell.samples.length > 0) return
    cell.error = error.message
    cell.samples = []
  }
}

async function run({ entry, cell, contestant }, limit, prepare) {
  const isReady = prepare(entry.path)
  const result = await contestant.run(entry.what, entry.path, limit)
  cell.first ??= result.ms
  cell.tensors ??= result.tensors
  cell.sum ??= result.sum
  if (cell.tensors !== result.tensors || cell.sum !== result.sum)
    throw new Error('two runs gave different results')
  return { ms: result.ms, isReady }
}
