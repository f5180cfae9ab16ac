/**
 * Results as JSON, as docs/result.schema.json describes them.
 */
import { json } from '../../cli/text'
import type { Result } from '../result'
import type { Summary } from '../summary'
import type { Pieces, Writer } from './writer'

/** Of the document; it grows when a field changes its meaning. */
export const JSON_VERSION = 1

/** One document, a result on each line of it. */
export class JsonWriter implements Writer {
  #separator = '\n';

  *begin(): Pieces {
    yield `{"version":${JSON_VERSION},"results":[`
  }

  *result(result: Result): Pieces {
    yield this.#separator
    yield* resultPieces(result)
    this.#separator = ',\n'
  }

  *end(summary: Summary): Pieces {
    yield `\n],"summary":${json(summary)}}\n`
  }
}

/** A result on each line, so that a run that was interrupted can be read and gone on with. */
export class JsonLinesWriter implements Writer {
  *begin(): Pieces {}

  *result(result: Result): Pieces {
    yield* resultPieces(result)
    yield '\n'
  }

  *end(): Pieces {}
}

/** One line of text, even where names hold what some readers take for the end of a line. */
export function* resultPieces(result: Result): Pieces {
  const { details, ...rest } = result
  const text = json(rest)
  if (details === undefined) return yield text
  yield `${text.slice(0, -1)},"details":`
  yield* listPieces(details)
  yield '}'
}

/** A list item by item: there can be very many tensors. */
export function* listPieces(items: Iterable<unknown>): Pieces {
  let separator = '['
  for (const item of items) {
    yield separator + json(item)
    separator = ','
  }
  yield separator === '[' ? '[]' : ']'
}
