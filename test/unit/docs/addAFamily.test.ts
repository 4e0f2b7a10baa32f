/** docs/add-a-family.md, done as it says in a copy of the source: the family that comes out computes as transformers does. */
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type * as engines from '../../../src/engine/index.js';
import type * as models from '../../../src/models/index.js';
import { largestMagnitude } from '../../support/allBackends.js';
import { expectClose } from '../../support/expectClose.js';
import { readOracleCase } from '../../support/oracleCases.js';
import { pageProject, root } from './pageProject.js';

const project = pageProject('docs/add-a-family.md');
afterAll(() => project[Symbol.dispose]());

it('builds a family that computes as transformers does', async () => {
  expect(project.applied).toEqual(['seedOss.ts', 'index.ts', 'harmlessKeys.ts']);
  const { loadModel } = (await import(join(project.folder, 'src/models/index.ts'))) as typeof models;
  const { createEngine, createBatch } = (await import(join(project.folder, 'src/engine/index.ts'))) as typeof engines;
  const oracle = await readOracleCase({ name: 'seed-oss', folder: join(root, 'test/fixtures/examples/seed-oss') });
  using engine = await createEngine('reference');
  await using model = await loadModel(oracle.folder, { engine });
  const expectLogits = async (expected: Float32Array): Promise<void> => {
    using _scope = engine.scope();
    const logits = await engine.readFloats(model.logits(model.forward(createBatch(oracle.inputIds))));
    // As in test/model/oracle.test.ts: what float32 leaves of transformers' own numbers.
    expectClose(logits, expected, 1e-4 * largestMagnitude(expected));
  };
  await expectLogits(oracle.logits);
  model.skip({ attention: oracle.dropAttention, mlp: oracle.dropMlp });
  await expectLogits(oracle.droppedLogits);
});
