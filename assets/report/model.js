/** The chosen model: what it is, what was found, what its pickles name, its tensors. */
import { facts, tensorSection, tensorsOf } from './tensors.js'
import { badge, byId, countText, element, listInSteps, sizeText, timeText } from './text.js'

/** @typedef {import('../../lib/zoo/result').Result} Result */
/** @typedef {import('../../lib/zoo/result').Finding} Finding */

const SEVERITIES = ['error', 'warning', 'info']

/**
 * @param {Omit<Result, 'details'>} model
 * @param {number} number
 * @param {Record<string, string>} titles of rules
 */
export function showModel(model, number, titles) {
  const panel = byId('model')
  const { path, status, safety, findings, globals, files } = model
  const tensors = tensorsOf(number)
  panel.replaceChildren(
    element('h2', {}, path),
    element('p', { class: 'badges' }, badge(status), badge(safety), badge(model.integrity)),
    facts(factsOf(model)),
    element('h3', {}, `Findings (${countText(findings.length)})`),
    ...findingGroups(findings, titles),
  )
  if (globals.length > 0) {
    panel.append(
      element('h3', {}, `Classes and functions its pickles name (${countText(globals.length)})`),
    )
    panel.append(listInSteps(element('ul', { class: 'globals' }), globals, globalLine))
  }
  panel.append(element('h3', {}, `Tensors (${countText(model.tensors)})`))
  if (tensors.length > 0) panel.append(tensorSection(tensors))
  else panel.append(element('p', { class: 'caption' }, 'The report has no details of them.'))
  if (files !== undefined) panel.append(fileList(files))
  panel.scrollTop = 0
}

/** @param {Omit<Result, 'details'>} model */
function factsOf({ format, flavor, producer, tensors, bytes, ms }) {
  return [
    ['Format', format ?? ''],
    ['Holds', flavor ?? ''],
    ['Written by', producer ?? ''],
    ['Tensors', countText(tensors)],
    ['Size', sizeText(bytes)],
    ['Took', timeText(ms)],
  ].filter(([, value]) => value !== '')
}

/**
 * @param {readonly Finding[]} findings
 * @param {Record<string, string>} titles
 */
function findingGroups(findings, titles) {
  if (findings.length === 0) return [element('p', { class: 'caption' }, 'Nothing was found.')]
  /** @type {Map<string, Finding[]>} */
  const rules = new Map()
  for (const finding of findings) {
    const members = rules.get(finding.rule)
    if (members === undefined) rules.set(finding.rule, [finding])
    else members.push(finding)
  }
  const groups = [...rules].map(([rule, members]) => {
    return { rule, members, severity: members[0]?.severity ?? 'info' }
  })
  groups.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity))
  return groups.map(({ rule, members, severity }) => {
    const list = listInSteps(element('ul'), members, findingLine)
    const head = element('h4', {}, badge(severity), ' ', element('code', {}, rule))
    if (members.length > 1) head.append(` \u00d7 ${countText(members.length)}`)
    const group = element('section', { class: `finding ${severity}` }, head)
    if (titles[rule]) group.append(element('p', { class: 'title' }, titles[rule]))
    group.append(list, element('p', { class: 'remedy' }, members[0]?.remedy ?? ''))
    return group
  })
}

/** @param {Finding} finding */
function findingLine({ message, path, record, tensor, offset }) {
  const places = [
    tensor === undefined ? '' : `tensor ${tensor}`,
    record === undefined ? '' : `record ${record}`,
    offset === undefined ? '' : `byte ${countText(offset)}`,
    path ?? '',
  ].filter(Boolean)
  const line = element('li', {}, message)
  if (places.length > 0) line.append(' ', element('span', { class: 'place' }, places.join(', ')))
  return line
}

/** @param {Result['globals'][number]} named */
function globalLine({ name, verdict, isCalled, chain, record, offset }) {
  const line = element('li', {}, badge(verdict), ' ', element('code', {}, name))
  const where = `${isCalled ? 'called' : 'named'} at byte ${countText(offset)}`
  const place = record === undefined ? where : `${where} of ${record}`
  line.append(' ', element('span', { class: 'place' }, place))
  if (chain.length > 1) line.append(element('div', { class: 'chain' }, chain.join(' \u2192 ')))
  return line
}

/** @param {NonNullable<Result['files']>} files */
function fileList(files) {
  const rows = Object.entries(files)
  const list = listInSteps(element('ul', { class: 'files' }), rows, ([path, digest]) =>
    element('li', {}, path, element('div', { class: 'digest' }, `SHA-256 ${digest}`)),
  )
  const title = element('summary', {}, `Files (${countText(rows.length)})`)
  return element('details', {}, title, list)
}
