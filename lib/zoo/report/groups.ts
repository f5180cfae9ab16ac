/**
 * Findings as people read them: by rule, the worst first.
 */
import type { Finding } from '../result'
import type { RuleId, Severity } from '../rules'

export interface Group {
  readonly rule: RuleId
  readonly severity: Severity
  readonly findings: readonly Finding[]
}

const ORDER: readonly Severity[] = ['error', 'warning', 'info']

export function groupsOf(findings: readonly Finding[]): Group[] {
  const groups = new Map<string, { rule: RuleId; severity: Severity; findings: Finding[] }>()
  for (const finding of findings) {
    const { rule, severity } = finding
    const key = `${severity} ${rule}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, { rule, severity, findings: [finding] })
    else group.findings.push(finding)
  }
  // Sorting keeps the order in which rules came first.
  return [...groups.values()].sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity))
}

/** Where a finding is, in words; empty where it is about the whole model. */
export function placeOf({ path, record, tensor, offset }: Finding): string {
  const words: string[] = []
  if (tensor !== undefined) words.push(`tensor ${tensor}`)
  if (record !== undefined) words.push(`record ${record}`)
  if (offset !== undefined) words.push(`byte ${offset}`)
  if (path !== undefined) words.push(path)
  return words.join(', ')
}
