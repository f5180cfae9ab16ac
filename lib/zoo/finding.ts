/** Findings, as the table of rules has them. */
import type { Finding, Status } from './result'
import { RULES, type RuleId } from './rules'

/** What a finding is about. */
type Place = { [K in 'path' | 'record' | 'tensor' | 'offset']?: Finding[K] | undefined }

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** A finding of a rule; `message` says what was found here, in one sentence. */
export function finding(rule: RuleId, message: string, place: Place = {}): Finding {
  const { severity, remedy } = RULES[rule]
  const found: Writable<Partial<Finding>> = { rule, severity, message: sentence(message) }
  const { path, record, tensor, offset } = place
  if (path !== undefined) found.path = path
  if (record !== undefined) found.record = record
  if (tensor !== undefined) found.tensor = tensor
  if (offset !== undefined) found.offset = offset
  found.remedy = remedy
  return found as Finding
}

/** As bad as the worst of them. */
export function statusOf(findings: readonly Finding[]): Status {
  const worst = new Set(findings.map(({ severity }) => severity))
  return worst.has('error') ? 'error' : worst.has('warning') ? 'warning' : 'ok'
}

/** With a capital where it begins with a word, and a full stop. */
function sentence(text: string): string {
  const begun = /^[a-z]+[ ,']/.test(text) ? `${text[0]!.toUpperCase()}${text.slice(1)}` : text
  return begun.endsWith('.') ? begun : `${begun}.`
}
