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
    'The operating system would not open or read a file.',
    'Check that the file is there and that you may read it.',
  ),
  'whole/changed': rule(
    'error',
    'A file changed while it was verified.',
    'Verify it again once nothing writes to it.',
  ),
  'whole/checksum': rule(
    'error',
    'The bytes of a record do not match its checksum.',
    'Fetch the file again: the tensors in that record are not what was saved.',
  ),
  'whole/no-checksum': rule(
    'info',
    'Records have no checksum, so damage to them cannot be seen.',
    'Record digests with --lock now, and save with checksums next time.',
  ),
  'whole/skipped': rule(
    'warning',
    'Something in the checkpoint cannot be given here.',
    'Load it with the program that wrote it.',
  ),
  'whole/unused-record': rule(
    'warning',
    'No tensor uses the bytes of a record.',
    'Save the checkpoint again: what nothing uses is left out.',
  ),
  'whole/wasted': rule(
    'warning',
    'A storage is much larger than what tensors use of it.',
    'Clone the tensor before saving it.',
  ),
  'whole/tied': rule(
    'info',
    'Several tensors share their elements.',
    'Nothing to do if that is meant: shared elements are saved once.',
  ),
  'whole/not-a-number': rule(
    'error',
    'A tensor has elements that are NaN.',
    'Go back to a checkpoint from before the training diverged.',
  ),
  'whole/infinite': rule(
    'warning',
    'A tensor has infinite elements.',
    'Check whether they are meant, as in masks.',
  ),
  'whole/zero': rule(
    'warning',
    'All elements of a tensor are zero.',
    'Check whether it was ever initialised or trained.',
  ),
  'whole/constant': rule(
    'info',
    'All elements of a tensor have the same value.',
    'Check whether it was ever trained.',
  ),
  // Safe
  'safe/dangerous-global': rule(
    'error',
    'A pickle names a function that can run code, or reach files or the network.',
    'Do not load the file with Python; get the weights as safetensors.',
  ),
  'safe/unknown-global': rule(
    'warning',
    'A pickle names a class or function that is not known to be safe.',
    'Find out what it does before you load the file with Python.',
  ),
  'safe/computed-global': rule(
    'error',
    'A pickle puts together the name of a class or function while it is read.',
    'Do not load the file with Python: no program writes weights like this.',
  ),
  'safe/broken-pickle': rule(
    'error',
    'A pickle cannot be read to its end, so nobody can say what it does.',
    'Do not load the file with Python.',
  ),
  'safe/nested-pickle': rule(
    'warning',
    'A record or a byte string holds another pickle.',
    'Find out what would load it.',
  ),
  'safe/nested-archive': rule(
    'warning',
    'A record holds another archive.',
    'Find out what would load it.',
  ),
  'safe/second-pickle': rule(
    'warning',
    'Another pickle follows the one that is loaded.',
    'Find out what would load it.',
  ),
  'safe/unread': rule(
    'error',
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
  'safe/outside-name': rule(
    'error',
    'A member of the archive is named so that it would be unpacked elsewhere.',
    'Do not unpack the file: no writer of checkpoints makes such names.',
  ),
  'safe/code': rule(
    'info',
    'The checkpoint has code, of TorchScript or torch.package, that runs when it is loaded.',
    'Read the code first, or take the weights alone.',
  ),
  'safe/two-archives': rule(
    'error',
    'Two readers could see different contents in the file.',
    'Do not use the file: no program that saves checkpoints writes one like this.',
  ),
  'safe/hidden-bytes': rule(
    'warning',
    'Some bytes of the file belong to no record.',
    'Save the checkpoint again, or find out what they are.',
  ),
  'safe/extension': rule(
    'warning',
    'The file is not what its name says.',
    'Rename it, and find out where it comes from.',
  ),
  // Complete
  'complete/norm': rule(
    'warning',
    'A normalisation layer has only some of its tensors.',
    'Load it with strict=False, which leaves the missing ones at their defaults, or convert the file.',
  ),
  'complete/pair': rule(
    'error',
    'A reparametrised weight has only one of its two parts.',
    'Fetch the checkpoint again: from one part the weight cannot be computed.',
  ),
  'complete/shard': rule(
    'error',
    'A part of the checkpoint is missing, or does not hold what the index says.',
    'Fetch the missing parts.',
  ),
  'complete/missing': rule(
    'error',
    'A tensor that was expected is missing.',
    'Check whether it has another name, or is made when the model is built.',
  ),
  'complete/unexpected': rule(
    'warning',
    'A tensor is there that was not expected.',
    'Check whether it has another name.',
  ),
  'complete/shape': rule(
    'error',
    'A tensor has another shape or dtype than was expected.',
    'Check that model and checkpoint have the same configuration.',
  ),
  // Portable
  'portable/training': rule(
    'info',
    'The checkpoint has parts that only training needs.',
    'Save the state dict alone for others to use.',
  ),
  'portable/classes': rule(
    'warning',
    'Loading it with Python needs classes of the program that wrote it.',
    'Save the state dict instead of the whole object.',
  ),
  'portable/weights-only': rule(
    'warning',
    'torch.load refuses it with weights_only=True.',
    'Allow the named classes with add_safe_globals if you trust them, or save without them.',
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
    'A model that was recorded is missing.',
    'Fetch it again, or record the models anew.',
  ),
  'recorded/new': rule(
    'warning',
    'A model is there that was not recorded.',
    'Record it if it belongs there.',
  ),
} as const satisfies Record<string, Rule>

export type RuleId = keyof typeof RULES
