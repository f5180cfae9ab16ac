/** What ties a checkpoint to the program that wrote it. */
import type { Checkpoint } from '../checkpoint'
import { finding } from './finding'
import type { Finding, NamedGlobal } from './result'

/** Names that are told; the others are counted. */
const MOST_NAMES = 5

export function portabilityOf(checkpoint: Checkpoint, globals: readonly NamedGlobal[]): Finding[] {
  const found: Finding[] = []
  for (const { kind, path, tensors, bytes } of checkpoint.training) {
    const where = path === '' ? 'the whole checkpoint' : `'${path}'`
    const size = tensors === 0 ? '' : `, ${tensors} tensors of ${bytes} bytes`
    found.push(finding('portable/training', `${where} is ${kind}${size}`))
  }
  const classes = [...new Set(globals.filter(({ verdict }) => verdict !== 'safe').map(nameOf))]
  if (classes.length === 0) return found
  const shown = classes.slice(0, MOST_NAMES).map((name) => `'${name}'`)
  const more = classes.length - shown.length
  const names = `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
  found.push(
    finding('portable/classes', `Python needs ${names} to load it`),
    finding('portable/weights-only', `torch.load refuses ${names} with weights_only=True`),
  )
  return found
}

function nameOf({ name }: NamedGlobal): string {
  return name
}
