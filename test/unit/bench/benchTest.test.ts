import { describe, expect, it } from 'vitest';
import { parseTest, testName, testsOf } from '../../../src/bench/index.js';

describe('the names of tests', () => {
  it.each(['pp512', 'tg128', 'tg128@d2048', 'pp1@d7'])('%s is read and written back', (name) =>
    expect(testName(parseTest(name))).toBe(name),
  );

  it("reads llama-bench's spaces", () =>
    expect(parseTest('tg128 @ d2048', 4)).toEqual({ kind: 'decode', tokens: 128, depth: 2048, batch: 4 }));

  it.each(['pp', 'pp0', 'xx3', 'tg12@2048', ''])("refuses '%s'", (name) =>
    expect(() => parseTest(name)).toThrow(/is no test/),
  );

  it('are each size at each depth and batch', () => {
    const tests = testsOf({ prompt: 512, generate: 128, depths: [0, 2048], batches: [1, 4] });
    expect(tests.map((test) => `${testName(test)} ${test.batch}`)).toEqual([
      ...['pp512 1', 'tg128 1', 'pp512@d2048 1', 'tg128@d2048 1'],
      ...['pp512 4', 'tg128 4', 'pp512@d2048 4', 'tg128@d2048 4'],
    ]);
  });

  it('leave out what has no tokens', () =>
    expect(testsOf({ prompt: 0, generate: 64, depths: [0], batches: [1] }).map(testName)).toEqual(['tg64']));
});
