/** Many models, some at a time. */
import { availableParallelism } from 'node:os'
import { setImmediate as turn } from 'node:timers/promises'
import { checkOptions, wrongType, wrongValue } from '../arguments'
import { checkLimits, type Limits } from '../limits'
import { Leaving } from '../watch'
import { type CheckOptions, checkModel } from './check'
import type { Expected } from './complete'
import type { Result } from './result'
import { modelsOf } from './walk'

/** How far a run has come: models, not bytes. */
export interface ZooProgress {
  /** Models that are done, and their bytes. */
  readonly models: number
  readonly bytes: number
}

export interface VerifyZooOptions {
  /** Models at a time; as many as there are processors by default. */
  jobs?: number | undefined
  /** Also looks at the values of all tensors. */
  deep?: boolean | undefined
  /** Bars of the histograms of a deep look; none by default. */
  bins?: number | undefined
  /** Also gives digests of files and tensors, as a lock file has them. */
  digests?: boolean | undefined
  /** Tensors that each model should have: see {@link readExpected}. */
  expected?: ReadonlyMap<string, Expected> | undefined
  /** Patterns of what is left out, relative to the paths, with `*`, `**` and `?`. */
  ignore?: readonly string[] | undefined
  /** Results of a run that was broken off: they are given again instead of looked for. */
  done?: Iterable<Result> | undefined
  limits?: Partial<Limits> | undefined
  signal?: AbortSignal | undefined
}

/** Milliseconds without letting anything else run. */
const LONGEST_TURN = 10

const OPTIONS = [
  'jobs',
  'deep',
  'bins',
  'digests',
  'expected',
  'ignore',
  'done',
  'limits',
  'signal',
] as const

/**
 * Verifies all models below the paths and gives a result for each, in the order of the paths and of
 * the names in them. A model that is damaged, hostile, gone or not one at all is a result, not an
 * error.
 *
 * @throws the signal's reason
 */
export async function* verifyZoo(
  paths: string | readonly string[],
  options: VerifyZooOptions = {},
): AsyncGenerator<Result, void, undefined> {
  const { jobs, ignore, done, ...check } = checked(options)
  const known = new Map(Array.from(done, (result) => [result.path, result]))
  const leaving = new Leaving(options.signal)
  const running: Promise<Result>[] = []
  let turned = performance.now()
  const next = async () => {
    const result = await running.shift()!
    // Small models are looked at without a turn of the event loop.
    if (performance.now() - turned > LONGEST_TURN) {
      await turn()
      turned = performance.now()
    }
    options.signal?.throwIfAborted()
    return result
  }
  try {
    for (const path of typeof paths === 'string' ? [paths] : paths) {
      if (typeof path !== 'string') throw wrongType('paths', 'a path or an array of them', paths)
      for (const model of modelsOf(path, { ignore })) {
        const result = known.get(model.path)
        const work =
          result === undefined
            ? checkModel(model, { ...check, signal: leaving.signal })
            : Promise.resolve(result)
        // It is heard of when its turn comes.
        work.catch(() => {})
        running.push(work)
        if (running.length >= jobs) yield await next()
      }
    }
    while (running.length > 0) yield await next()
  } finally {
    await leaving.settle(running)
  }
}

function checked(options: VerifyZooOptions) {
  checkOptions('options', options, OPTIONS)
  const given: VerifyZooOptions = options
  const { jobs = availableParallelism(), bins = 0, ignore = [], done = [] } = given
  for (const [name, value, least] of [
    ['jobs', jobs, 1],
    ['bins', bins, 0],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < least) {
      throw wrongValue(`options.${name}`, `an integer from ${least}`, value)
    }
  }
  const { deep = false, digests = false, expected, limits } = given
  const check: CheckOptions = {
    deep,
    bins,
    digests,
    ...(expected === undefined ? {} : { expected }),
    ...(limits === undefined ? {} : { limits: checkLimits(limits) }),
  }
  return { ...check, jobs, ignore, done }
}
