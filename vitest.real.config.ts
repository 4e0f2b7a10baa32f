import { defineConfig } from 'vitest/config';

/** Tests on a real checkpoint: minutes each, one after the other, outside `npm test`. */
export default defineConfig({
  test: {
    include: ['test/real/**/*.test.ts'],
    environment: 'node',
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 1_200_000,
    hookTimeout: 1_200_000,
  },
});
