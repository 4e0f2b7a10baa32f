/** What must hold of dropping and scoring, whatever the model, the modules and the text. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/index.js';
import {
  mergeDrops,
  metrics,
  scoreImportance,
  searchGreedily,
  selectDrops,
  targets,
  writeDropped,
  type Importance,
  type Scores,
} from '../../src/drop/index.js';
import { createBatch, createEngine, type Engine } from '../../src/engine/index.js';
import { createModel, openModel, type Drops, type Model } from '../../src/models/index.js';
import { dropSets, modelSpecs, tokenRows, type ModelSpec } from '../../src/testing/index.js';
import { oracleFolders } from '../support/oracleCases.js';

describe.each(oracleFolders().filter(({ name }) => name.startsWith('fixtures/')))('$name on the disk', ({ folder }) => {
  let out: string;
  let layers: number;
  beforeAll(async () => {
    out = await mkdtemp(join(tmpdir(), 'llm-drop-test-'));
    await using source = await openModel(folder);
    layers = source.config.numHiddenLayers;
  });
  afterAll(() => rm(out, { recursive: true }));

  let written = 0;
  async function dropped(from: string, drops: Drops): Promise<string> {
    await using source = await openModel(from);
    const to = join(out, String(written++));
    await writeDropped(source, drops, to);
    return to;
  }

  /** The config, and a digest of each tensor's type, shape and bytes. */
  async function contents(path: string): Promise<{ config: object; tensors: Record<string, string> }> {
    await using checkpoint = await openCheckpoint(path);
    const tensors: Record<string, string> = {};
    for (const name of checkpoint.tensorNames().sort()) {
      const { dtype, shape } = checkpoint.info(name);
      const hash = createHash('sha256').update(`${dtype} [${shape.join()}] `);
      for await (const piece of checkpoint.raw(name).read()) hash.update(piece);
      tensors[name] = hash.digest('hex');
    }
    return { config: checkpoint.config, tensors };
  }

  it('dropping A, then B of the result, equals dropping both', async () => {
    const cases = fc.constant(0).chain(() => fc.tuple(dropSets(layers), dropSets(layers)));
    await fc.assert(
      fc.asyncProperty(cases, async ([a, b]) => {
        const inTurn = await dropped(await dropped(folder, a), b);
        expect(await contents(inTurn)).toEqual(await contents(await dropped(folder, mergeDrops(a, b))));
      }),
      { numRuns: 10 },
    );
  });

  it('dropping nothing leaves every byte of every tensor', async () => {
    const before = await contents(folder);
    const after = await contents(await dropped(folder, { attention: [], mlp: [] }));
    expect(after.tensors).toEqual(before.tensors);
    expect(after.config).toEqual({ ...before.config, drop_attn_list: [], drop_mlp_list: [] });
  });
});

const cases = modelSpecs().chain((spec) =>
  fc.record({
    spec: fc.constant(spec),
    a: dropSets(spec.config.numHiddenLayers),
    b: dropSets(spec.config.numHiddenLayers),
  }),
);

/** Rows of at least two tokens, and the same rows in another order. */
const ordered = modelSpecs().chain((spec) =>
  tokenRows(spec.config.vocabSize, { min: 2, max: 5 }, { min: 2, max: 12 }).chain((rows) =>
    fc.record({
      spec: fc.constant(spec),
      rows: fc.constant(rows),
      shuffled: fc.shuffledSubarray(rows, { minLength: rows.length, maxLength: rows.length }),
    }),
  ),
);

describe.each(['reference', 'wasm'] as const)('%s', (backend) => {
  let engine: Engine;
  beforeAll(async () => void (engine = await createEngine(backend)));
  afterEach(() => expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 }));
  afterAll(() => engine.dispose());

  const withModel = async <T>({ config, seed }: ModelSpec, use: (model: Model) => Promise<T>): Promise<T> => {
    using model = await createModel(config, { seed, engine });
    return await use(model);
  };

  it('skipping A, then B as well, computes what skipping both computes, bit for bit', async () => {
    await fc.assert(
      fc.asyncProperty(cases, ({ spec, a, b }) =>
        withModel(spec, async (model) => {
          const output = async (): Promise<Float32Array> => {
            using _scope = engine.scope();
            return await engine.readFloats(model.forward(createBatch([[0, 1, 2]])));
          };
          model.skip(a);
          model.skip(b);
          const inTurn = await output();
          model.setDrops(mergeDrops(a, b));
          expect(await output()).toEqual(inTurn);
        }),
      ),
      { numRuns: 20 },
    );
  });

  // Sums of at most 60 tokens in float64: reordering changes them by at most 60 * 2^-53 of their absolute terms.
  it.each(metrics)('the order of the calibration rows changes scores by $name by rounding only', async (metric) => {
    await fc.assert(
      fc.asyncProperty(ordered, ({ spec, rows, shuffled }) =>
        withModel(spec, async (model) => {
          const before = allScores(await scoreImportance(model, rows, { metric }));
          const after = allScores(await scoreImportance(model, shuffled, { metric }));
          const most = before.reduce<number>((m, score) => Math.max(m, Math.abs(score ?? 0)), 0);
          for (const [i, score] of before.entries()) {
            if (score === null) expect(after[i]).toBeNull();
            else expect(Math.abs(after[i]! - score)).toBeLessThanOrEqual(1e-12 * Math.max(1, most));
          }
        }),
      ),
      { numRuns: 20 },
    );
  });

  it('a choice of more modules contains that of fewer, by scores and by a search', async () => {
    const counted = ordered.chain((c) => fc.record({ c: fc.constant(c), target: fc.constantFrom(...targets) }));
    await fc.assert(
      fc.asyncProperty(counted, ({ c: { spec, rows }, target }) =>
        withModel(spec, async (model) => {
          const importance = await scoreImportance(model, rows);
          const most = spec.config.numHiddenLayers;
          const { steps } = await searchGreedily(model, rows, { target, count: most });
          model.setDrops({ attention: [], mlp: [] });
          for (let count = 1; count < most; count++) {
            const [fewer, more] = [selectDrops(importance, target, count), selectDrops(importance, target, count + 1)];
            expect(mergeDrops(fewer, more)).toEqual(more);
            const prefix = await searchGreedily(model, rows, { target, count });
            expect(prefix.steps).toEqual(steps.slice(0, count));
            model.setDrops({ attention: [], mlp: [] });
          }
        }),
      ),
      { numRuns: 8 },
    );
  });
});

const allScores = ({ similarity, blockConsecutive }: Importance): Scores => [
  ...Object.values(similarity).flat(),
  ...blockConsecutive.flat(),
];
