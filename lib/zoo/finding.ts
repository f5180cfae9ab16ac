/** Findings, as the table of rules has them. */
import type { Finding } from './result'
import { RULES, type RuleId } from './rules'

/** A finding of a rule; `message` says what was found here, in one sentence. */
export function finding(
  rule: RuleId,
  message: string,
  place: Pick<Finding, 'path' | 'record' | 'tensor' | 'offset'> = {},
): Finding {
  const { severity, remedy } = RULES[rule]
  return { rule, severity, message, ...place, remedy }
}
