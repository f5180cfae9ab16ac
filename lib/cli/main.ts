/**
 * The command `torchmap`: what it is asked to do, and how it ends.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { printable } from '../printable'
import { diffCommand } from './diff'
import { inspectCommand } from './inspect'
import { Output } from './output'

/** How the process ends when a command has found something, and when it could not run. */
const EXIT_FOUND = 1
const EXIT_FAILED = 2

const USAGE = `Usage: torchmap inspect [options] FILE
       torchmap diff [options] FILE FILE

inspect shows what is in a PyTorch checkpoint: its tensors, what they share, what cannot be read.
diff compares two: exit code 0 where they are the same, 1 where they differ.

Options:
  --json           print one JSON document
  --all            print every row, however long the table is
  -h, --help       print this text
  -v, --version    print the version

Options of diff:
  --tensors        compare all tensors, not only the weights
  --tolerance X    numbers that are no further apart are the same
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
  if (values.version) return output.write(`${version()}\n`)
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
])

async function runInspect(paths: readonly string[], values: Values, output: Output) {
  refuse('inspect', values, ['tensors', 'tolerance'])
  const [path, ...rest] = paths
  if (path === undefined) throw new UsageError('inspect needs a file')
  if (rest.length > 0) throw new UsageError(`inspect takes one file, not ${paths.length}`)
  await inspectCommand(path, { json: values.json === true, all: values.all === true }, output)
}

async function runDiff(paths: readonly string[], values: Values, output: Output) {
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
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0])
  }
}

function version(): string {
  const manifest = readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}
