/**
 * What a source of several files is, and which of them must be opened first. Everything is found
 * out from the content of the files, the names in a directory apart.
 */
import type { Content } from '../content'
import { isCheckpointError } from '../errors'
import type { FileContent } from '../file-content'
import type { Request } from '../request'
import { planOfDarts } from './darts'
import { planOfDirectory } from './directory'
import { planOfIndex } from './index-file'
import { joinedPlan } from './joined'

/** How a checkpoint of several files is made. */
export interface Plan {
  /** Files to open before it can be made. */
  readonly files: readonly string[]
  /** Makes it of the opened files, in order. */
  build(opened: readonly FileContent[]): Content
  /** Closes what the plan holds, when a file cannot be opened. */
  abandon?(): void
}

/** The plan for the parts of one checkpoint, given one by one. */
export function planOfParts(paths: readonly string[], request: Request): Plan {
  return joinedPlan(paths, request)
}

/** The plan for a path that is tried as an index first, because it is named like one. */
export function planOfName(path: string, request: Request): Plan | undefined {
  return path.endsWith('.json') ? planOfIndex(path, request) : undefined
}

/** The plan for a file that another one belongs to; nothing for a file that is a checkpoint. */
export function planOfFile(file: FileContent, request: Request): Plan | undefined {
  return planOfDarts(file, request)
}

/** The plan for a path that is no checkpoint by itself; throws `error` when it is nothing else. */
export function planOfPath(path: string, request: Request, error: unknown): Plan {
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'EISDIR') {
    return planOfDirectory(path, request)
  }
  if (isCheckpointError(error, 'NOT_A_CHECKPOINT')) {
    const plan = planOfIndex(path, request)
    if (plan !== undefined) return plan
  }
  throw error
}
