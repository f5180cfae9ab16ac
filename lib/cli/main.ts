/**
 * The command `torchmap`: what it is asked to do, and how it ends.
 */
import { parseArgs } from 'node:util'
import { printable } from '../printable'
import { packageVersion } from '../version'
import { isReportFormat, REPORT_FORMATS } from '../zoo/report/report'
import { diffCommand } from './diff'
import { inspectCommand } from './inspect'
import { Output } from './output'
import { verifyCommand } from './verify'

/** How the process ends when a command has found something, and when it could not run. */
const EXIT_FOUND = 1
const EXIT_FAILED = 2

const USAGE = `Usage: torchmap inspect [options] FILE
       torchmap diff [options] FILE FILE
       torchmap verify [options] PATH...

inspect shows what is in a PyTorch checkpoint: its tensors, what they share, what cannot be read.
diff compares two: exit code 0 where they are the same, 1 where they differ.
verify looks at all models of files and directories: are they whole, safe and complete? Exit code 1
where one has a finding that counts.

Options:
  --json           print one JSON document
  --all            print every row, however long the table is
  -h, --help       print this text
  -v, --version    print the version

Options of diff:
  --tensors        compare all tensors, not only the weights
  --tolerance X    numbers that are no further apart are the same

Options of verify:
  --deep           look at the values of all tensors, too
  --expect FILE    names that every model should have: a checkpoint, an index, or JSON
  --lock FILE      compare with what FILE has recorded, or record it there if there is no such file
  --ignore GLOB    leave out what it is a pattern of; any number of times
  --fail-on LEVEL  warning or error (the default)
  --format FORMAT  ${REPORT_FORMATS.join(', ')}
  --output FILE    write the report there
  --resume         with --format jsonl and --output: go on where a run was broken off
  --jobs N         models at a time
`

class UsageError extends Error {}

/** Runs the command and sets the process's exit code. */
export async function main(args: readonly string[]): Promise<void> {
  try {
    await run(args, new Output(process.stdout, report))
  } catch (error) {
    report(error)
    if (error instanceof UsageError) process.stderr.write(`\n${USAGE}`)
  }
}

function report(error: unknown): void {
  process.exitCode = EXIT_FAILED
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(`torchmap: ${printable(message)}\n`)
}

async function run(args: readonly string[], output: Output): Promise<void> {
  const { values, positionals } = parse(args)
  if (values.help) return output.write(USAGE)
  if (values.version) return output.write(`${packageVersion()}\n`)
  const [command, ...paths] = positionals
  if (command === undefined) throw new UsageError('no command is given')
  const run = COMMANDS.get(command)
  if (run === undefined) throw new UsageError(`'${command}' is no command`)
  await run(paths, values, output)
}

type Values = ReturnType<typeof parse>['values']

/** What each command does with its arguments. */
const COMMANDS = new Map([
  ['inspect', runInspect],
  ['diff', runDiff],
  ['verify', runVerify],
])

const OF_DIFF = ['tensors', 'tolerance'] as const
const OF_VERIFY = [
  'deep',
  'expect',
  'lock',
  'ignore',
  'fail-on',
  'format',
  'output',
  'resume',
  'jobs',
] as const

async function runInspect(paths: readonly string[], values: Values, output: Output) {
  refuse('inspect', values, [...OF_DIFF, ...OF_VERIFY])
  const [path, ...rest] = paths
  if (path === undefined) throw new UsageError('inspect needs a file')
  if (rest.length > 0) throw new UsageError(`inspect takes one file, not ${paths.length}`)
  await inspectCommand(path, { json: values.json === true, all: values.all === true }, output)
}

async function runDiff(paths: readonly string[], values: Values, output: Output) {
  refuse('diff', values, OF_VERIFY)
  const [a, b, ...rest] = paths
  if (a === undefined || b === undefined) throw new UsageError('diff needs two files')
  if (rest.length > 0) throw new UsageError(`diff takes two files, not ${paths.length}`)
  const tolerance = Number(values.tolerance ?? 0)
  if (!(tolerance >= 0) || values.tolerance === '') {
    throw new UsageError(`--tolerance needs a number, not '${values.tolerance}'`)
  }
  const { json, all, tensors } = values
  const options = { json: json === true, all: all === true, tensors: tensors === true, tolerance }
  const isSame = await diffCommand(a, b, options, output)
  // What could not be written is a failure, which has set it.
  if (!isSame) process.exitCode ??= EXIT_FOUND
}

async function runVerify(paths: readonly string[], values: Values, output: Output) {
  refuse('verify', values, [...OF_DIFF, 'json', 'all'])
  if (paths.length === 0) throw new UsageError('verify needs a file or directory')
  const { format = 'text', jobs, resume = false, output: file } = values
  const failOn = values['fail-on'] ?? 'error'
  if (!isReportFormat(format)) {
    throw new UsageError(`--format is one of ${REPORT_FORMATS.join(', ')}, not '${format}'`)
  }
  if (failOn !== 'warning' && failOn !== 'error') {
    throw new UsageError(`--fail-on is warning or error, not '${failOn}'`)
  }
  if (jobs !== undefined && !/^[1-9]\d{0,4}$/.test(jobs)) {
    throw new UsageError(`--jobs needs a number, not '${jobs}'`)
  }
  if (resume && (format !== 'jsonl' || file === undefined)) {
    throw new UsageError('--resume needs --format jsonl and --output')
  }
  const command = {
    format,
    failOn,
    file,
    resume,
    jobs: jobs === undefined ? undefined : Number(jobs),
    deep: values.deep === true,
    lock: values.lock,
    expect: values.expect,
    ignore: values.ignore ?? [],
  } as const
  const exitCode = await verifyCommand(paths, command, output)
  if (exitCode !== 0) process.exitCode ??= exitCode
}

/** Refuses options of other commands. */
function refuse(command: string, values: Values, names: readonly (keyof Values)[]): void {
  const given = names.find((name) => values[name] !== undefined)
  if (given !== undefined) throw new UsageError(`${command} has no option --${given}`)
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'boolean' },
        all: { type: 'boolean' },
        tensors: { type: 'boolean' },
        tolerance: { type: 'string' },
        deep: { type: 'boolean' },
        expect: { type: 'string' },
        lock: { type: 'string' },
        ignore: { type: 'string', multiple: true },
        'fail-on': { type: 'string' },
        format: { type: 'string' },
        output: { type: 'string' },
        resume: { type: 'boolean' },
        jobs: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0])
  }
}
