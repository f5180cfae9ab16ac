/** Parts without an index: all of them are opened, and what they hold says which tensors there are. */
import type { FileContent } from '../file-content'
import type { Request } from '../request'
import { PartFile } from './part-file'
import type { Plan } from './plan'
import { JoinedSplit } from './split'

/**
 * @param path the directory they were found in
 * @throws {@link StateError} `MISSING_SHARD`
 */
export function joinedPlan(files: readonly string[], request: Request, path?: string): Plan {
  checkParts(files.map((file) => new PartFile(file, request)))
  return {
    files,
    build: (opened: readonly FileContent[]) =>
      new JoinedSplit(
        path,
        opened.map((content, i) => new PartFile(files[i]!, request, content)),
        request.mayMap,
      ),
  }
}

/** @throws {@link StateError} `MISSING_SHARD` for the first part that is not there */
export function checkParts(parts: Iterable<PartFile>): void {
  for (const part of parts) part.size
}
