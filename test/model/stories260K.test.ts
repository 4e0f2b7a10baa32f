/** A real trained checkpoint against transformers: scores, drop lists and losses on 32 rows of 256 tokens. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/checkpoint/index.js';
import type { Engine } from '../../src/engine/index.js';
import { loadModel, type LoadedModel } from '../../src/models/index.js';
import { allBackends } from '../support/allBackends.js';
import { shared, withoutShared } from '../support/oracleCases.js';
import { expectLoss, expectScores, realRows, realScores, type RealScores } from '../support/realScores.js';

const name = 'stories260K';

/** TensorFlow.js in pure JavaScript takes half a minute for each of 18 passes: it has the conformance cases instead. */
const native = Boolean(process.env.LLM_DROP_TFJS);
if (!native) console.warn('skipped: stories260K on tfjs in pure JavaScript (LLM_DROP_TFJS=node-gpu runs it)');
const backends = allBackends.filter(([backend]) => backend !== 'tfjs' || native);

describe.skipIf(withoutShared('stories260K')).each(backends)('stories260K on %s', (backend, create) => {
  let engine: Engine, model: LoadedModel, expected: RealScores, rows: Int32Array[];
  beforeAll(async () => {
    engine = await create();
    const folder = join(shared, 'models', name);
    expected = realScores(name);
    rows = await realRows(expected, await loadTokenizer(folder));
    model = await loadModel(folder, { engine });
  });
  afterAll(async () => {
    await model.close();
    expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
    engine.dispose();
  });

  it(
    'meets every similarity and drop list',
    async () => void (await expectScores(model, rows, expected, 1e-5)),
    240_000,
  );

  // The reference takes seconds for each loss: three of them there, all elsewhere.
  const drops = withoutShared(name) ? [] : [undefined, ...Object.keys(realScores(name).drop)];
  const tried = backend === 'reference' ? [undefined, 'attn-2', 'joint-4'] : drops;
  it.each(tried.map((drop) => ({ title: drop ?? 'nothing', drop })))(
    'meets the loss with $title dropped',
    ({ drop }) => expectLoss(model, rows, expected, drop, 1e-4),
    120_000,
  );
});
