/**
 * Every checkpoint that transformers made expectations for, on every backend: logits whole and dropped, similarities,
 * and the greedy continuation, with the key-value cache and without it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBatch, type Engine } from '../../src/engine/index.js';
import { generate, loadModel, type LoadedModel } from '../../src/models/index.js';
import { scoreImportance } from '../../src/drop/index.js';
import { allBackends, largestMagnitude } from '../support/allBackends.js';
import { expectClose } from '../support/expectClose.js';
import { oracleFolders, readOracleCase, type OracleCase } from '../support/oracleCases.js';

/** Of the largest |logit|. Mixtral's own float32 results are 6e-5 away from float64's, so that ours may be twice as far. */
const logitTolerance = (name: string): number => (name.includes('mixtral') ? 2e-4 : 1e-4);
const similarityTolerance = 1e-5;

describe.each(allBackends)('%s', (_backend, create) => {
  let engine: Engine;
  beforeAll(async () => void (engine = await create()));
  afterAll(() => engine.dispose());

  describe.each(oracleFolders())('$name', (folder) => {
    let oracle: OracleCase;
    let model: LoadedModel;
    beforeAll(async () => {
      oracle = await readOracleCase(folder);
      model = await loadModel(oracle.folder, { engine });
    });
    afterAll(async () => {
      await model.close();
      expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
    });

    const expectLogits = async (expected: Float32Array): Promise<void> => {
      using _scope = engine.scope();
      const logits = await engine.readFloats(model.logits(model.forward(createBatch(oracle.inputIds))));
      expectClose(logits, expected, logitTolerance(folder.name) * largestMagnitude(expected));
    };

    it('gives the logits of transformers', () => expectLogits(oracle.logits));

    it('gives its similarities, with the residual, without, and of every window of blocks', async () => {
      const { similarity, blockConsecutive } = await scoreImportance(
        model,
        oracle.inputIds.map((row) => Int32Array.from(row)),
      );
      for (const [kind, expected] of Object.entries(oracle.similarity))
        expectClose(
          Float32Array.from(similarity[kind as keyof typeof oracle.similarity] as number[]),
          expected,
          similarityTolerance,
        );
      const layers = blockConsecutive.length;
      const windows = blockConsecutive.flatMap((row) => row.map((value) => value ?? -Infinity));
      windows.forEach((value, i) =>
        oracle.blocks[i] === -Infinity
          ? expect(value).toBe(-Infinity)
          : expect(Math.abs(value - oracle.blocks[i])).toBeLessThanOrEqual(similarityTolerance),
      );
      expect(windows).toHaveLength(layers ** 2);
    });

    describe('dropped', () => {
      beforeAll(() => model.skip({ attention: oracle.dropAttention, mlp: oracle.dropMlp }));
      afterAll(() => model.setDrops({ attention: [], mlp: [] }));

      it('gives the logits of transformers', () => expectLogits(oracle.droppedLogits));

      it.each([true, false])('continues greedily as transformers (cache: %s)', async (cache) => {
        for (const [i, prompt] of oracle.inputIds.entries()) {
          const { tokens } = await generate(model, prompt, {
            maxTokens: oracle.greedy[i].length,
            stopTokens: [],
            cache,
          });
          expect(tokens).toEqual(oracle.greedy[i]);
        }
      });
    });
  });
});
