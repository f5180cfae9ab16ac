/** Results against docs/result.schema.json. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020'

export const SCHEMA = JSON.parse(
  readFileSync(join(__dirname, '../../docs/result.schema.json'), 'utf8'),
) as Record<string, unknown> & { $defs: Record<string, Record<string, unknown>> }

const ajv = new Ajv2020({ strict: true, allErrors: true })
ajv.addSchema(SCHEMA)

/** What the schema has against a value; `definition` is that of a result unless another is named. */
export function schemaErrors(value: unknown, definition = 'result'): string[] {
  const validate = ajv.getSchema(`urn:torchmap:result#/$defs/${definition}`)
  if (validate === undefined) throw new Error(`no definition ${definition}`)
  // As it is written: what JSON does not know is gone.
  validate(JSON.parse(JSON.stringify(value)))
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}
