/**
 * What the rules about flavours look at: how the root is built and what the tensors are called. No
 * tensor data is read.
 */
import { NumpyArray } from '../numpy'
import { PyObject } from '../python'
import { Tensor } from '../tensor'

/** A checkpoint as the rules see it. */
export interface Subject {
  readonly format: string
  readonly era: string
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly root: unknown
  /** The upper levels of the root, where they can be had for less; see native/core/torch/tape.h. */
  readonly outline: unknown
  /** What the header of a safetensors file says beside its tensors. */
  readonly metadata?: ReadonlyMap<string, string> | undefined
}

export type Dict = ReadonlyMap<unknown, unknown>

const NOTHING: Dict = new Map()

/** The entries of a dict; none of anything else. */
export function entriesOf(value: unknown): Dict {
  return value instanceof Map ? value : NOTHING
}

/** The attributes of an object; none of anything else. */
export function attributesOf(value: unknown): Dict {
  if (!(value instanceof PyObject)) return NOTHING
  const { state } = value
  if (!Array.isArray(state)) return entriesOf(state)
  return new Map(state.flatMap((part) => [...entriesOf(part)]))
}

/** `module.name` of an object's class; empty for anything else. */
export function classOf(value: unknown): string {
  return value instanceof PyObject ? String(value) : ''
}

/** Whether its class is in this module, or in one below. */
export function isOf(value: unknown, module: string): boolean {
  return classOf(value).startsWith(`${module}.`)
}

/** Source: torch/nn/modules/module.py, Module.__init__ (v1.0 to v2.13). */
export function isModule(value: unknown): boolean {
  const attributes = attributesOf(value)
  return attributes.has('_parameters') && attributes.has('_modules')
}

/** Source: torch/optim/optimizer.py, Optimizer.state_dict and __getstate__ (v2.13). */
export function isOptimizer(value: unknown): boolean {
  const { size } = entriesOf(value)
  const content = size > 0 ? entriesOf(value) : attributesOf(value)
  return content.has('state') && content.has('param_groups')
}

/** Source: torch/optim/lr_scheduler.py, LRScheduler.state_dict: the attributes (v0.2 to v2.13). */
export function isScheduler(value: unknown): boolean {
  const content = entriesOf(value)
  const marks = ['base_lrs', '_step_count', '_last_lr', 'num_bad_epochs']
  return content.has('last_epoch') && marks.some((mark) => content.has(mark))
}

/**
 * Source: torch/amp/grad_scaler.py, GradScaler.state_dict (v2.13), torch/cuda/amp/grad_scaler.py
 * (v1.6).
 */
export function isScaler(value: unknown): boolean {
  const content = entriesOf(value)
  return content.has('scale') && content.has('growth_factor') && content.has('backoff_factor')
}

/** Whether something is in it that can have bytes of its own. */
export function isFilled(value: unknown): boolean {
  if (value instanceof Map || value instanceof Set) return value.size > 0
  return Array.isArray(value) ? value.length > 0 : typeof value === 'object' && value !== null
}

/** The value and all that is in it, each once, in no particular order. */
export function* within(value: unknown): Generator<unknown, undefined, unknown> {
  const seen = new Set<unknown>()
  const ahead = [value]
  while (ahead.length > 0) {
    const next = ahead.pop()
    if (typeof next !== 'object' || next === null || seen.has(next)) continue
    seen.add(next)
    yield next
    if (Array.isArray(next) || next instanceof Set) for (const item of next) ahead.push(item)
    else if (next instanceof Map) for (const [key, item] of next) ahead.push(key, item)
    else if (next instanceof PyObject) {
      ahead.push(next.callable, next.args, next.kwargs, next.state, next.items, next.entries)
    } else if (next instanceof NumpyArray) ahead.push(next.items)
  }
}

export function holdsTensor(value: unknown): boolean {
  for (const found of within(value)) if (found instanceof Tensor) return true
  return false
}

/** The facts about one checkpoint, each found when first asked for. */
export class Evidence {
  readonly subject: Subject
  #marks: NameMarks | undefined

  constructor(subject: Subject) {
    this.subject = subject
  }

  get root(): unknown {
    return this.subject.outline
  }

  /** The entries of the root where it is a dict. */
  get dict(): Dict {
    return entriesOf(this.root)
  }

  /** Whether the root is a dict with all these keys. */
  has(...keys: string[]): boolean {
    return keys.every((key) => this.dict.has(key))
  }

  /** What the names say. */
  get marks(): NameMarks {
    this.#marks ??= marksOf(this.subject.tensors)
    return this.#marks
  }
}

export interface NameMarks {
  /** A name that ends with `.qweight`, without that end. */
  packed: string | undefined
  isBitsAndBytes: boolean
  /** Whether all names begin with `base_model.model.`. */
  isAdapter: boolean
}

function marksOf(tensors: ReadonlyMap<string, Tensor>): NameMarks {
  let packed: string | undefined
  let isBitsAndBytes = false
  let isAdapter = tensors.size > 0
  for (const name of tensors.keys()) {
    if (isAdapter) isAdapter = name.startsWith('base_model.model.')
    if (packed === undefined && name.endsWith('.qweight'))
      packed = name.slice(0, -'.qweight'.length)
    isBitsAndBytes ||= name.includes('.quant_state.bitsandbytes__') || name.endsWith('.SCB')
  }
  return { packed, isBitsAndBytes, isAdapter }
}
