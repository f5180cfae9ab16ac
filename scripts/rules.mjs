// rules.mjs [--check]: writes docs/rules.md, and the ids of docs/result.schema.json, from the table of
// lib/zoo/rules.ts. With --check it writes nothing and fails where they say something else.

import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { root } from './run.mjs'

const require = createRequire(import.meta.url)
require('../test/support/register.cjs')
const { RULES } = require('../lib/zoo/rules.ts')

const GROUPS = {
  whole: ['Whole', 'Is everything there as it was saved, and what is wasted?'],
  safe: ['Safe', 'What could loading the file with Python do?'],
  complete: ['Complete', 'Is every tensor there that belongs to the model?'],
  portable: ['Portable', 'Who else can load it?'],
  recorded: ['Recorded', 'Is it what the lock file says?'],
}

const HEAD = `# Rules

What \`torchmap verify\` can find in a model, by the ids that findings have in every format. Ids are never renamed. An error is
something that makes the model unfit for use, a warning something to look at, and info worth knowing. Made from \`lib/zoo/rules.ts\` by
\`npm run docs:rules\`.
`

function rulesPage() {
  let page = HEAD
  let group = ''
  for (const [id, { severity, title, remedy }] of Object.entries(RULES)) {
    const [first] = id.split('/')
    if (first !== group) page += `\n## ${GROUPS[first][0]}\n\n${GROUPS[first][1]}\n`
    group = first
    page += `\n### \`${id}\`\n\n*${severity}.* ${title}\n\n${remedy}\n`
  }
  return page
}

/** As the formatter writes it. */
function schemaWithRules(text) {
  const ids = Object.keys(RULES).map((id) => `\n        "${id}"`)
  return text.replace(
    /("rule": \{[^}]*?"enum": )\[[^\]]*\]/,
    (_, head) => `${head}[${ids}\n      ]`,
  )
}

const isCheck = process.argv.includes('--check')

function put(file, make) {
  const path = join(root, file)
  const there = readFileSync(path, { encoding: 'utf8', flag: 'a+' })
  const text = make(there)
  if (text === there) return
  if (isCheck) {
    console.error(`${file} is not what lib/zoo/rules.ts says: npm run docs:rules`)
    process.exitCode = 1
  } else {
    writeFileSync(path, text)
  }
}

put('docs/rules.md', rulesPage)
put('docs/result.schema.json', schemaWithRules)
