import { describe, expect, it, vi } from 'vitest';
import {
  benchCsv,
  benchMarkdown,
  benchmark,
  filledCache,
  measureTest,
  parseBenchReport,
  parseTest,
  testsOf,
  workOf,
  type BenchReport,
} from '../../../src/bench/index.js';
import { createEngine, type BackendName } from '../../../src/engine/index.js';
import { createModel, type PartialConfig } from '../../../src/models/index.js';

const config = {
  vocabSize: 40,
  hiddenSize: 24,
  intermediateSize: 40,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 64,
};
const mixture = { ...config, modelType: 'mixtral', numLocalExperts: 4, numExpertsPerTok: 2 };
const tests = testsOf({ prompt: 6, generate: 4, depths: [0, 9], batches: [1, 2] });

async function report(backend: BackendName, given: PartialConfig = config): Promise<BenchReport> {
  using engine = await createEngine(backend, { threads: 1 }); // the tests' own processes share the cores
  const model = await createModel(given, { engine });
  model.skip({ mlp: [2] });
  const variants = [
    { name: 'whole', model, drops: { attention: [], mlp: [] } },
    { name: 'as it is', model },
    { name: 'dropped', model, drops: { attention: [0, 1], mlp: [2] } },
  ];
  const seen: number[] = [];
  const result = await benchmark(variants, {
    tests,
    repeats: 2,
    kv: 'float16',
    model: 'tiny',
    onProgress: (done, total) => void seen.push(done / total),
  });
  expect(seen).toHaveLength(tests.length * 3 * 3);
  expect(seen.at(-1)).toBe(1);
  expect(model.drops).toEqual({ attention: [], mlp: [2] });
  model.dispose();
  expect(engine.memory().tensors).toBe(0);
  return result;
}

describe.each(['reference', 'wasm'] as const)('%s: benchmark', (backend) => {
  it('measures each variant in each test, and leaves nothing behind', async () => {
    const { results, variants } = await report(backend);
    const names = results.filter(({ variant }) => variant === 'dropped').map(({ test, batch }) => `${test} ${batch}`);
    expect(names).toEqual(['pp6 1', 'tg4 1', 'pp6@d9 1', 'tg4@d9 1', 'pp6 2', 'tg4 2', 'pp6@d9 2', 'tg4@d9 2']);
    expect(results).toHaveLength(3 * names.length);
    for (const { tokensPerSecond, peakBytes, residentBytes } of results) {
      expect(tokensPerSecond.samples).toHaveLength(2);
      expect(tokensPerSecond.samples.every((sample) => sample > 0 && Number.isFinite(sample))).toBe(true);
      expect(Math.min(peakBytes, residentBytes)).toBeGreaterThan(0);
    }
    expect(variants.map(({ drop }) => drop)).toEqual([
      { attention: [], mlp: [] },
      { attention: [], mlp: [2] },
      { attention: [0, 1], mlp: [2] },
    ]);
    expect(variants[2].weightBytes).toBeLessThan(variants[1].weightBytes);
  });

  it('holds each speedup against what the work saved allows', async () => {
    const { results } = await report(backend);
    for (const { variant, speedup, bound, work, kvBytesPerToken } of results) {
      expect(bound.reached).toBeCloseTo(speedup / bound.speedup, 12);
      expect(Math.min(work.bytes, work.operations)).toBeGreaterThan(0);
      if (variant === 'whole') expect([speedup, bound.speedup]).toEqual([1, 1]);
      else expect(bound.speedup).toBeGreaterThan(1);
      expect(kvBytesPerToken).toBe((variant === 'dropped' ? 1 : 3) * 2 * 2 * 6 * 2);
    }
  });
});

describe('a report', () => {
  it('has the form that is written to JSON', async () => {
    const read = JSON.parse(JSON.stringify(await report('reference'))) as BenchReport;
    expect(read).toMatchObject({
      model: 'tiny',
      backend: 'reference',
      threads: 1,
      kv: 'float16',
      repeats: 2,
      node: process.versions.node,
    });
    expect(typeof read.tier).toBe('string');
    expect(typeof read.processor).toBe('string');
    expect(Object.keys(read.results[0]).slice(0, 4)).toEqual(['variant', 'test', 'batch', 'tokensPerSecond']);
    expect(Object.keys(read.results[0].tokensPerSecond)).toEqual(['median', 'mean', 'deviation', 'samples']);
    expect(parseBenchReport(read, 'here')).toBe(read);
  });

  it('is a table of Markdown, with the bound where there are variants', async () => {
    const lines = benchMarkdown(await report('reference'));
    expect(lines[0]).toBe(
      '| variant | test | batch | tokens/s | read a token | Mop a token | speedup | bound | reached | KV a token | peak | resident |',
    );
    expect(lines[1]).toBe('| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |');
    expect(lines[2]).toMatch(
      /^\| whole \| pp6 \| 1 \| [\d.]+ ± [\d.]+ \| [\d.]+ MiB \| [\d.e-]+ \| 1.00x \| 1.00x \| 1.00 \|/,
    );
    expect(lines.join('\n')).toContain('without loading, tokenizing, sampling');
    expect(lines.at(-1)).toMatch(/^Speedup over 'whole'.* here: [\d.e-]+ GB\/s and [\d.e-]+ Gop\/s\./);
  });

  it('is CSV with as many cells in each line, quoted where needed', async () => {
    const made = await report('reference');
    const [head, first] = benchCsv({ ...made, model: 'a "small", one' });
    expect(first.startsWith('"a ""small"", one",reference,')).toBe(true);
    const cells = first.replace(/"([^"]|"")*"/g, 'quoted').split(',');
    expect(cells).toHaveLength(head.split(',').length);
    expect(benchCsv(made)).toHaveLength(1 + made.results.length);
  });
});

describe('a cache filled to the depth', () => {
  const deep = testsOf({ prompt: 0, generate: 4, depths: [40], batches: [2] });
  /** Tokens that pass through the model in all. */
  const run = async (maxMemory?: number): Promise<{ tokens: number; report: BenchReport }> => {
    using engine = await createEngine('reference');
    const model = await createModel(config, { engine });
    const forward = model.forward.bind(model);
    let tokens = 0;
    model.forward = (batch, options) => {
      tokens += batch.tokens.length;
      return forward(batch, options);
    };
    const variants = [
      { name: 'whole', model },
      { name: 'dropped', model, drops: { attention: [0], mlp: [] } },
    ];
    const report = await benchmark(variants, { tests: deep, repeats: 3, maxMemory });
    model.dispose();
    expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
    return { tokens, report };
  };

  it('serves all samples of its variant, unless memory is short', async () => {
    // Two variants of two sequences: a warm-up of 4 tokens, fillings of 40, three samples of 4.
    const [kept, filledAgain] = [await run(), await run(1)];
    expect(kept.tokens).toBe(2 * 2 * (4 + 40 + 3 * 4));
    expect(filledAgain.tokens).toBe(2 * 2 * (4 + 3 * (40 + 4)));
    const peaks = [kept, filledAgain].map(({ report: { results } }) => results.map(({ peakBytes }) => peakBytes));
    expect(peaks[0]).toEqual(peaks[1]); // another variant's cache is not counted
  });

  it('is the same to the model as one just filled', async () => {
    using engine = await createEngine('wasm', { threads: 1 });
    using model = await createModel(config, { engine });
    const [test] = deep;
    using cache = await filledCache(model, test);
    expect([...cache.lengths]).toEqual([40, 40]);
    for (let sample = 0; sample < 2; sample++) {
      expect(await measureTest(model, test, {}, cache)).toBeGreaterThan(0);
      expect([...cache.lengths]).toEqual([44, 44]);
    }
  });
});

describe('a sample', () => {
  it('is tokens of all sequences over the time of their passes and logits; filling the cache takes none', async () => {
    using engine = await createEngine('reference');
    using model = await createModel(config, { engine });
    // A clock that passes move by 2 ms a token, and logits by 3 ms a row.
    let now = 0;
    const [forward, logits] = [model.forward.bind(model), model.logits.bind(model)];
    vi.spyOn(model, 'forward').mockImplementation((batch, options) => {
      now += 2 * batch.tokens.length;
      return forward(batch, options);
    });
    vi.spyOn(model, 'logits').mockImplementation((hidden) => {
      now += 3 * hidden.shape[0];
      return logits(hidden);
    });
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    try {
      const found: number[] = [];
      for (const test of tests) found.push(await measureTest(model, test));
      // A prefill of 6 tokens a sequence has logits of the last alone; 4 steps have them each.
      const [prefill, decode] = [6 / (6 * 2 + 3), 4 / (4 * (2 + 3))].map((perMs) => 1000 * perMs);
      expect(tests.map(({ kind }) => (kind === 'prefill' ? prefill : decode))).toEqual(found);
    } finally {
      clock.mockRestore();
    }
  });
});

it('a mixture has the work that is counted for it', async () => {
  const { results } = await report('wasm', mixture);
  using engine = await createEngine('wasm', { threads: 1 });
  using model = await createModel(mixture, { engine });
  for (const { variant, test, batch, work, bound } of results.filter(({ variant }) => variant === 'whole')) {
    expect(work, `${variant} ${test}`).toEqual(workOf(model, parseTest(test, batch), 'float16'));
    expect(bound.reached).toBe(1);
  }
});

describe('what cannot be measured', () => {
  it('is said before anything runs', async () => {
    using engine = await createEngine('reference');
    using model = await createModel(config, { engine });
    const whole = { name: 'whole', model };
    await expect(benchmark([whole], { tests: [] })).rejects.toThrow('at least one variant and one test');
    await expect(benchmark([whole, whole], { tests })).rejects.toThrow("two variants are called 'whole'");
    const deep = testsOf({ prompt: 32, generate: 0, depths: [64], batches: [1] });
    await expect(benchmark([whole], { tests: deep })).rejects.toThrow(
      'pp32@d64 needs 96 tokens, but the context of whole is 64',
    );
  });

  it('stops at a signal, and leaves the flags as they were', async () => {
    using engine = await createEngine('reference');
    using model = await createModel(config, { engine });
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(
      benchmark([{ name: 'dropped', model, drops: { attention: [1], mlp: [] } }], { tests, signal }),
    ).rejects.toThrow('enough');
    expect(model.drops.attention).toEqual([]);
  });
});
