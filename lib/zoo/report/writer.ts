/**
 * What every format is: text made in pieces, one model after the other, none of them kept.
 */
import type { Result } from '../result'
import type { FailOn, Summary } from '../summary'

/** Text in the order it is written. */
export type Pieces = Iterable<string>

export interface Writer {
  begin(): Pieces
  result(result: Result): Pieces
  end(summary: Summary): Pieces
}

export interface WriterOptions {
  /** Whether a terminal shows colours; `text` only. */
  readonly hasColours: boolean
  /** Columns of the terminal, Infinity where it is none; `text` only. */
  readonly columns: number
  /** Findings of one rule and model that `text` and `junit` show. */
  readonly shown: number
  /** What is a failure; `junit` only. */
  readonly failOn: FailOn
  /** The folder that paths are told from; `sarif` only. */
  readonly base: string
  /** When the run began. */
  readonly began: Date
}
