export default {
  injectGlobals: false,
  // Build trees hold second copies of package.json, which jest's module map rejects.
  modulePathIgnorePatterns: ['<rootDir>/(build.*|dist|prebuilds)/'],
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  // Machines differ; a test that hangs is found all the same.
  testTimeout: 60_000,
  transform: { '\\.m?ts$': ['@swc/jest', { jsc: { target: 'es2022' } }] },
}
