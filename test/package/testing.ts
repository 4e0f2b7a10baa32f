/** The same for `llm-drop/testing`, which needs fast-check beside it. */
import fc from 'fast-check';
import { createBatch, createEngine, createModel } from 'llm-drop';
import { dropSets, modelSpecs, raggedTokens } from 'llm-drop/testing';

using engine = await createEngine('reference');
await fc.assert(
  fc.asyncProperty(
    modelSpecs(),
    dropSets(1),
    raggedTokens(5, { max: 2 }, { max: 5 }),
    async (spec, drops, sequences) => {
      using _scope = engine.scope();
      using model = await createModel(spec.config, { seed: spec.seed, engine });
      model.setDrops(drops);
      const { length } = await engine.readFloats(model.forward(createBatch(sequences)));
      return length === spec.config.hiddenSize * sequences.reduce((sum, tokens) => sum + tokens.length, 0);
    },
  ),
  { numRuns: 20 },
);
