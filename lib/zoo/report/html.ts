/**
 * Results as one page that asks for nothing: its style and script are those of assets/report, and
 * every result is a block of data. What is only looked at when a model is chosen, its tensors,
 * stands in a block of its own, which the page parses then.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { json } from '../../cli/text'
import { packageVersion } from '../../version'
import type { Result } from '../result'
import { RULES } from '../rules'
import type { Summary } from '../summary'
import { listPieces } from './json'
import type { Pieces, Writer, WriterOptions } from './writer'

/** From `lib/zoo/report` and from `dist/zoo/report`. */
const ASSETS = join(__dirname, '..', '..', '..', 'assets', 'report')
/** Modules, each before those that import it. */
const SCRIPTS = ['text', 'list', 'treemap', 'histogram', 'tensors', 'model', 'page']

/** Browsers take CRLF for LF, and a policy names what they take. */
const asset = (name: string) => readFileSync(join(ASSETS, name), 'utf8').replaceAll('\r\n', '\n')

/** All modules as one script: nothing is imported from a page that is one file. */
function script(): string {
  const modules = SCRIPTS.map((name) =>
    asset(`${name}.js`)
      .replace(/^import [^;]*? from '[^']*'\n/gms, '')
      .replace(/^export /gm, ''),
  )
  return `(() => {\n'use strict'\n${modules.join('')}})()\n`
}

export class HtmlWriter implements Writer {
  readonly #began: Date
  readonly #script = script()
  readonly #style = asset('page.css') + asset('parts.css')
  /** What stands before the data and behind it. */
  readonly #page = asset('page.html').split('<!-- data -->\n')
  #models = 0

  constructor({ began }: WriterOptions) {
    this.#began = began
  }

  *begin(): Pieces {
    const policy = [
      "default-src 'none'",
      `style-src ${sourceOf(this.#style)}`,
      `script-src ${sourceOf(this.#script)}`,
      "base-uri 'none'",
      "form-action 'none'",
    ].join('; ')
    const [head = ''] = this.#page
    yield head
      .replace('<!-- policy -->', `<meta http-equiv="Content-Security-Policy" content="${policy}">`)
      // As functions: `$` means something in a text.
      .replace('<!-- style -->', () => `<style>${this.#style}</style>`)
  }

  *result({ details, ...model }: Result): Pieces {
    const number = this.#models++
    yield* block(`model-${number}`, [json(model)])
    if (details !== undefined && details.length > 0)
      yield* block(`tensors-${number}`, listPieces(details))
  }

  *end(summary: Summary): Pieces {
    const titles = Object.fromEntries(Object.entries(RULES).map(([id, { title }]) => [id, title]))
    const run = { version: packageVersion(), began: this.#began.toISOString(), summary, titles }
    yield* block('run', [json(run)])
    yield (this.#page[1] ?? '').replace('<!-- script -->', () => `<script>${this.#script}</script>`)
  }
}

/** Data, which no browser runs. Without `<` nothing in it can end the block or begin a comment. */
function* block(id: string, pieces: Pieces): Pieces {
  yield `<script type="application/json" id="${id}">`
  for (const piece of pieces) yield piece.replaceAll('<', '\\u003c')
  yield '</script>\n'
}

/** The text as a policy names it: nothing else runs. */
const sourceOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
