import { availableParallelism } from 'node:os'

export default {
  injectGlobals: false,
  // Jest leaves one processor out, which of two is half.
  maxWorkers: Math.max(2, availableParallelism() - 1),
  // Build trees hold second copies of package.json, which jest's module map rejects.
  modulePathIgnorePatterns: ['<rootDir>/(build.*|dist|prebuilds)/'],
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // Machines differ; a test that hangs is found all the same.
  testTimeout: 60_000,
  transform: { '\\.m?ts$': ['@swc/jest', { jsc: { target: 'es2022' } }] },
}
