/** What the hostile test and its child processes agree on: which files are damaged, where and how. */

/** The three ways. Numbers, as they go through a file of three integers. */
export const Damage = { cut: 0, flip: 1, lowBit: 2 } as const

export interface Mutation {
  kind: number
  at: number
}

export interface Job {
  files: string[]
  /** Only every so many of the mutations; 1 is all of them. */
  thin: number
}

export interface Report {
  opened: number
  refused: number
  /** How many of them were opened as files, too. */
  files: number
  failures: string[]
}

const EVERY_LOW_BIT = 7

/** For a file of `length` bytes: cut at each byte, all bits of each byte turned, and the lowest of each seventh. */
export function* mutationsOf(length: number, thin: number): Generator<Mutation> {
  for (let at = 0; at < length; at += thin) yield { kind: Damage.cut, at }
  for (let at = 0; at < length; at += thin) yield { kind: Damage.flip, at }
  for (let at = 0; at < length; at += EVERY_LOW_BIT * thin) yield { kind: Damage.lowBit, at }
}

/** A copy that is as long as it says, so that reading past its end is seen. */
export function damage(bytes: Uint8Array, kind: number, at: number): Uint8Array {
  if (kind === Damage.cut) return bytes.slice(0, at)
  const damaged = bytes.slice()
  damaged[at]! ^= kind === Damage.flip ? 0xff : 0x01
  return damaged
}
