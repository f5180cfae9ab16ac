/**
 * Every rule that a finding can have, once: docs/rules.md is generated from this table. Ids are the
 * contract with callers: they are never renamed.
 */

export type Severity = 'info' | 'warning' | 'error'

interface Rule {
  readonly severity: Severity
  /** What it means, one sentence. */
  readonly title: string
  /** What to do about it, one sentence. */
  readonly remedy: string
}

const rule = (severity: Severity, title: string, remedy: string): Rule => ({
  severity,
  title,
  remedy,
})

/** By id: a group, a stroke, a name. */
export const RULES = {
  // Whole
  'whole/unreadable': rule(
    'error',
    'The file cannot be opened as a checkpoint.',
    'Fetch it again, or remove it if it is no checkpoint.',
  ),
  'whole/system': rule(
    'error',
    'The system refuses a file.',
    'See that the file is there and may be read.',
  ),
  'whole/changed': rule(
    'error',
    'A file changed while it was verified.',
    'Verify it again once nothing writes to it.',
  ),
  'whole/checksum': rule(
    'error',
    'A record is not what its checksum was made of.',
    'Fetch the file again; its tensors that are named are not what was saved.',
  ),
  'whole/no-checksum': rule(
    'info',
    'Records have no checksum, so damage cannot be seen.',
    'Record digests with --lock, and save with checksums next time.',
  ),
  'whole/skipped': rule(
    'warning',
    'Something in the checkpoint cannot be given.',
    'Load it with the program that wrote it.',
  ),
  'whole/unused-record': rule(
    'warning',
    'No tensor uses the bytes of a record.',
    'Save the checkpoint again, which leaves out what nothing uses.',
  ),
  'whole/wasted': rule(
    'warning',
    'A storage is much larger than what tensors use of it.',
    'Clone the tensor before it is saved.',
  ),
  'whole/tied': rule(
    'info',
    'Tensors share their elements.',
    'Nothing, if that is meant: they are saved once.',
  ),
  'whole/not-a-number': rule(
    'error',
    'A tensor has elements that are not a number.',
    'Go back to a checkpoint from before the training diverged.',
  ),
  'whole/infinite': rule(
    'warning',
    'A tensor has infinite elements.',
    'See whether they are meant, as in masks.',
  ),
  'whole/zero': rule(
    'warning',
    'All elements of a tensor are zero.',
    'See whether it was ever initialised or trained.',
  ),
  'whole/constant': rule(
    'info',
    'All elements of a tensor are the same.',
    'See whether it was ever trained.',
  ),
  // Safe
  'safe/dangerous-global': rule(
    'error',
    'A pickle names a function that can run code, or reach files or the network.',
    'Do not load the file with Python; fetch the weights as safetensors.',
  ),
  'safe/unknown-global': rule(
    'warning',
    'A pickle names a class or function that is on no list.',
    'Find out what it does before the file is loaded with Python.',
  ),
  'safe/computed-global': rule(
    'error',
    'A pickle names a global by a text that it computes.',
    'Do not load the file with Python: nobody writes weights so.',
  ),
  'safe/broken-pickle': rule(
    'error',
    'A pickle cannot be read to its end, so what it does is not known.',
    'Do not load the file with Python.',
  ),
  'safe/nested-pickle': rule(
    'warning',
    'A record or a string of bytes holds another pickle.',
    'See what loads it.',
  ),
  'safe/nested-archive': rule('warning', 'A record holds another archive.', 'See what loads it.'),
  'safe/second-pickle': rule(
    'warning',
    'A pickle stands behind the one that is loaded.',
    'See what loads it.',
  ),
  'safe/unread': rule(
    'warning',
    'Something in the file could not be looked into.',
    'Unpack it or fetch it again, and verify what comes out.',
  ),
  'safe/persistent-id': rule(
    'info',
    'A pickle refers to something that is not in the file, by an id.',
    'See how the program that loads it resolves the id.',
  ),
  'safe/link': rule(
    'error',
    'A member of the archive is a link or a device.',
    'Do not unpack the file: no writer of checkpoints makes such ones.',
  ),
  'safe/code': rule(
    'info',
    'The checkpoint has code of TorchScript or of a package, which loading it runs.',
    'Read the code, or take the weights alone.',
  ),
  'safe/two-archives': rule(
    'error',
    'Two readers could see two different archives in the file.',
    'Do not use the file: no writer of checkpoints makes such ones.',
  ),
  'safe/hidden-bytes': rule(
    'warning',
    'Bytes of the file belong to no record.',
    'Save the checkpoint again, or find out what they are.',
  ),
  'safe/extension': rule(
    'warning',
    'The file is something else than its name says.',
    'Rename it, and ask where it comes from.',
  ),
  // Complete
  'complete/norm': rule(
    'warning',
    'A normalisation layer has only some of its tensors.',
    'Give the missing ones their defaults, as strict=False does, or convert the file.',
  ),
  'complete/pair': rule(
    'error',
    'A reparametrised weight has only one of its parts.',
    'Fetch the checkpoint again: the weight cannot be computed.',
  ),
  'complete/shard': rule(
    'error',
    'A part of the checkpoint is missing, or has not what the index says.',
    'Fetch the missing parts.',
  ),
  'complete/missing': rule(
    'error',
    'A tensor that is expected is not there.',
    'See whether it has another name, or is made when the model is built.',
  ),
  'complete/unexpected': rule(
    'warning',
    'A tensor is there that is not expected.',
    'See whether it has another name.',
  ),
  'complete/shape': rule(
    'error',
    'A tensor has another shape or dtype than is expected.',
    'See that model and checkpoint have the same configuration.',
  ),
  // Portable
  'portable/training': rule(
    'info',
    'The checkpoint has what only training needs.',
    'Save the state dict alone for others to use.',
  ),
  'portable/classes': rule(
    'warning',
    'Loading it with Python needs classes of the program that wrote it.',
    'Save the state dict instead of the object.',
  ),
  'portable/weights-only': rule(
    'warning',
    'torch.load refuses it with weights_only=True.',
    'Allow the classes that are named by add_safe_globals, or save without them.',
  ),
  // Recorded
  'recorded/file': rule(
    'error',
    'A file is not the one that was recorded.',
    'Find out who changed it, or record it anew.',
  ),
  'recorded/tensor': rule(
    'error',
    'A tensor is not the one that was recorded.',
    'Find out who changed it, or record it anew.',
  ),
  'recorded/absent': rule(
    'error',
    'A model that was recorded is not there.',
    'Fetch it again, or record anew.',
  ),
  'recorded/new': rule(
    'warning',
    'A model is there that was not recorded.',
    'Record it, if it belongs there.',
  ),
} as const satisfies Record<string, Rule>

export type RuleId = keyof typeof RULES
