/** The example that computes with TensorFlow.js, from weights in the engine's own memory. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { beforeAll, expect, test } from '@jest/globals'

const root = join(__dirname, '..')

function run(script: string): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], {
    cwd: root,
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([0, ''])
  return stdout
}

interface Report {
  values: number[]
  wanted: number[]
  [name: string]: unknown
}

let report: Report

beforeAll(() => {
  report = JSON.parse(run('test/support/tfjs-child.mjs')) as Report
})

test('forecasts as torch does', () => {
  const { values, wanted } = report
  expect(values).toHaveLength(24)
  expect(Math.min(...wanted)).toBeGreaterThan(10)
  for (const [i, value] of values.entries())
    expect(Math.abs(value / wanted[i]! - 1)).toBeLessThan(1e-5)
})

test('the heap of the engine has the weights, those that were computed, too', () => {
  expect(report).toMatchObject({ tensors: 29, same: 29 })
  expect(report.moved).toBeGreaterThan(500)
})

test('the heap may have to grow', () => {
  expect(report.growth).toBeGreaterThan(0)
  expect(report.grown).toBe(2000)
})

test('its command', () => {
  const printed = run('examples/tfjs/forecast.mjs')
  expect(printed).toMatch(
    /^the next 24 hours: (\d+\.\d ?){24}\nlargest difference from torch's, relative: \de?/m,
  )
})
