/** Findings, as the table of rules has them. */
import type { Finding, Status } from './result'
import { RULES, type RuleId } from './rules'

/** A finding of a rule; `message` says what was found here, in one sentence. */
export function finding(
  rule: RuleId,
  message: string,
  place: Pick<Finding, 'path' | 'record' | 'tensor' | 'offset'> = {},
): Finding {
  const { severity, remedy } = RULES[rule]
  return { rule, severity, message: sentence(message), ...place, remedy }
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
