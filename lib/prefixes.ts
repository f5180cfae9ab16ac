/**
 * Names without the levels that wrappers add. DistributedDataParallel and DataParallel put `module.`
 * in front, Lightning Fabric and DeepSpeed `_forward_module.`; torch.compile, FSDP and activation
 * checkpointing put a level in front of whatever they wrap, so theirs can be anywhere.
 */

const ANYWHERE = new Set(['_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module'])
const FORWARD = '_forward_module.'
const MODULE = 'module.'

/** `names` without the levels of well-known wrappers. */
export function withoutWrappers(names: readonly string[]): string[] {
  let stripped = names.map((name) => withoutFront(withoutInner(name), FORWARD))
  // A submodule that is really called `module` has others beside it.
  while (stripped.length > 0 && stripped.every((name) => name.startsWith(MODULE))) {
    stripped = stripped.map((name) => withoutFront(name.slice(MODULE.length), FORWARD))
  }
  return stripped
}

/** `names` without these levels at their start, in this order, where they are. */
export function withoutPrefixes(names: readonly string[], prefixes: readonly string[]): string[] {
  return names.map((name) => prefixes.reduce(withoutOne, name))
}

function withoutOne(name: string, prefix: string): string {
  const level = prefix.endsWith('.') ? prefix : `${prefix}.`
  return name.startsWith(level) ? name.slice(level.length) : name
}

function withoutFront(name: string, level: string): string {
  let start = 0
  while (name.startsWith(level, start)) start += level.length
  return name.slice(start)
}

function withoutInner(name: string): string {
  const levels = name.split('.')
  const last = levels.length - 1
  return levels.filter((level, i) => i === last || !ANYWHERE.has(level)).join('.')
}
