/**
 * The caps on what a checkpoint may ask for. They and their defaults are those of
 * native/core/limits.def.
 */
import { checkOptions, wrongType, wrongValue } from './arguments'
import { binding } from './binding'

/** Names of the caps. */
export type LimitName =
  | 'opcodes'
  | 'nodes'
  | 'memo'
  | 'string'
  | 'records'
  | 'names'
  | 'nameBytes'
  | 'copyBytes'
  | 'inflatedBytes'
  | 'work'

/** A value for every cap. */
export type Limits = Readonly<Record<LimitName, number>>

/**
 * The default caps. Ordinary checkpoints never come near; they bound what hostile ones cost.
 *
 * - `opcodes`: opcodes in one pickle
 * - `nodes`: decoded values
 * - `memo`: memo slots in use
 * - `string`: bytes of one string
 * - `records`: records of an archive
 * - `names`: tensor names
 * - `nameBytes`: bytes of all tensor names together
 * - `copyBytes`: bytes of one dense copy of a tensor
 * - `inflatedBytes`: bytes of one deflated record, inflated
 * - `work`: times the size of the pickle that values reached by many ways may multiply the work by
 */
export const LIMITS: Limits = Object.freeze(binding.tables().limits as Record<LimitName, number>)

/** Checks the caps a caller gives: known names, positive integers. */
export function checkLimits(limits: unknown): Partial<Limits> {
  checkOptions('options.limits', limits, Object.keys(LIMITS))
  const given: Record<string, number> = {}
  for (const [name, value] of Object.entries(limits)) {
    if (value === undefined) continue
    if (typeof value !== 'number') throw wrongType(`options.limits.${name}`, 'a number', value)
    if (!Number.isSafeInteger(value) || value <= 0) {
      throw wrongValue(`options.limits.${name}`, 'a positive integer', value)
    }
    given[name] = value
  }
  return given
}
