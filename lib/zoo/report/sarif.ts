/**
 * Findings as SARIF 2.1.0 (OASIS standard, errata 01): one run, every rule, a result for each
 * finding. Models without findings are only counted.
 */
import { createHash } from 'node:crypto'
import { isAbsolute, relative, sep } from 'node:path'
import { pathToFileURL } from 'node:url'
import { json } from '../../cli/text'
import { packageVersion } from '../../version'
import type { Finding, Result } from '../result'
import { RULES, type RuleId, type Severity } from '../rules'
import type { Summary } from '../summary'
import type { Pieces, Writer, WriterOptions } from './writer'

const SCHEMA =
  'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json'

const LEVELS: Record<Severity, string> = { error: 'error', warning: 'warning', info: 'note' }
const IDS = Object.keys(RULES) as RuleId[]
const PLACES = new Map(IDS.map((id, i) => [id, i]))

export class SarifWriter implements Writer {
  readonly #base: string
  readonly #began: Date
  #separator = '\n'

  constructor({ base, began }: WriterOptions) {
    this.#base = base
    this.#began = began
  }

  *begin(): Pieces {
    const driver = { name: 'torchmap', version: packageVersion(), rules: IDS.map(ruleOf) }
    yield `{"version":"2.1.0","$schema":${json(SCHEMA)},"runs":[{"tool":${json({ driver })},`
    yield '"columnKind":"utf16CodeUnits","results":['
  }

  *result(result: Result): Pieces {
    const known = new Map<string, number>()
    for (const finding of result.findings) {
      const uri = uriOf(finding.path ?? result.path, this.#base)
      const identity = identityOf(finding, uri)
      const count = (known.get(identity) ?? 0) + 1
      known.set(identity, count)
      yield this.#separator
      yield json(resultOf(finding, uri, `${identity}:${count}`))
      this.#separator = ',\n'
    }
  }

  *end(summary: Summary): Pieces {
    const invocation = {
      executionSuccessful: true,
      startTimeUtc: this.#began.toISOString(),
      endTimeUtc: new Date(this.#began.getTime() + summary.ms).toISOString(),
    }
    yield `\n],"invocations":[${json(invocation)}],"properties":{"summary":${json(summary)}}}]}\n`
  }
}

function ruleOf(id: RuleId) {
  const { title, remedy, severity } = RULES[id]
  const [group = id] = id.split('/')
  return {
    id,
    name: id.replace(/(?:^|\W)(\w)/g, (_, letter: string) => letter.toUpperCase()),
    shortDescription: { text: title },
    fullDescription: { text: `${title} ${remedy}` },
    help: { text: remedy },
    defaultConfiguration: { level: LEVELS[severity] },
    properties: { tags: group === 'safe' ? [group, 'security'] : [group] },
  }
}

function resultOf(finding: Finding, uri: string, fingerprint: string) {
  const { rule, severity, message, record, tensor, offset, remedy } = finding
  const logical = [
    ...(record === undefined ? [] : [{ name: record, kind: 'record' }]),
    ...(tensor === undefined ? [] : [{ name: tensor, kind: 'tensor' }]),
  ]
  const isRelative = !/^[a-z][a-z0-9+.-]*:/i.test(uri)
  return {
    ruleId: rule,
    ruleIndex: PLACES.get(rule),
    level: LEVELS[severity],
    message: { text: messageText(`${message} ${remedy}`) },
    locations: [
      {
        physicalLocation: {
          artifactLocation: isRelative ? { uri, uriBaseId: '%SRCROOT%' } : { uri },
          ...(offset === undefined ? {} : { region: { byteOffset: offset } }),
        },
        ...(logical.length === 0 ? {} : { logicalLocations: logical }),
      },
    ],
    partialFingerprints: { 'finding/v1': fingerprint },
  }
}

/**
 * Plain text, in which readers take `{0}` for an argument and `[text](link)` for a link (3.11.5 and
 * 3.11.6): names of tensors must not become either.
 */
function messageText(text: string): string {
  return text.replace(/[{}]/g, '$&$&').replaceAll('](', '] (')
}

/**
 * What stays the same of a finding from run to run: numbers in its message may change without its
 * being another one.
 */
function identityOf({ rule, record, tensor, message }: Finding, uri: string): string {
  const parts = [rule, uri, record ?? '', tensor ?? '', message.replace(/\d[\d,.]*/g, '#')]
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 32)
}

/** Relative to the base, and absolute outside of it. */
export function uriOf(path: string, base: string): string {
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(path)) return encodeURI(wellFormed(path))
  const inside = relative(base, path)
  if (isAbsolute(inside) || inside === '..' || inside.startsWith(`..${sep}`))
    return pathToFileURL(wellFormed(path)).href
  return wellFormed(inside).split(sep).map(encodeURIComponent).join('/') || '.'
}

/** URIs have no place for lone surrogates. */
const wellFormed = (text: string) => text.replace(/\p{Surrogate}/gu, '\ufffd')
