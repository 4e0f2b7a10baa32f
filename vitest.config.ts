import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/real/**', 'test/consumers/**', 'test/fixtures/**'],
    environment: 'node',
    // Processes, not threads: the native TensorFlow binding wants one of its own. Two suit two cores.
    pool: 'forks',
    maxWorkers: 2,
    // The slowest test takes a third of a minute; a host that is busy with others took it to one.
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
