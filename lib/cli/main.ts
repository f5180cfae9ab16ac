/**
 * The command `torchmap`: what it is asked to do, and how it ends.
 */
import { parseArgs } from 'node:util'
import { printable } from '../printable'
import { packageVersion } from '../version'
import { inspectCommand } from './inspect'
import { Output } from './output'

/** How the process ends when a command could not run; 1 is kept for commands that have findings. */
const EXIT_FAILED = 2

const USAGE = `Usage: torchmap inspect [options] FILE

Shows what is in a PyTorch checkpoint: its tensors, what they share, what cannot be read.

Options:
  --json         print one JSON document
  --all          print every row, however long the table is
  -h, --help     print this text
  -v, --version  print the version
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
  const [command, path, ...rest] = positionals
  if (command === undefined) throw new UsageError('no command is given')
  if (command !== 'inspect') throw new UsageError(`'${command}' is no command`)
  if (path === undefined) throw new UsageError('inspect needs a file')
  if (rest.length > 0) throw new UsageError(`inspect takes one file, not ${rest.length + 1}`)
  await inspectCommand(path, { json: values.json === true, all: values.all === true }, output)
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'boolean' },
        all: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0])
  }
}
