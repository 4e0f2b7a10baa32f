/** What llama.cpp says of the next token. */
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';

export const openLlama = () => getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error });

/** Next-token probabilities [T][V] behind each of some tokens, with keys and values in `cache`, `F16` or `F32`. */
export async function probabilities(llama, path, tokens, vocabSize, cache = 'F16') {
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: Math.max(tokens.length, 32),
    threads: 1,
    experimentalKvCacheKeyType: cache,
    experimentalKvCacheValueType: cache,
  });
  const options = { temperature: 1, topK: 0, topP: 1 };
  const results = await context
    .getSequence()
    .controlledEvaluate(tokens.map((token) => [token, { generateNext: { probabilities: true, options } }]));
  const found = results.map((result) =>
    Array.from({ length: vocabSize }, (_, id) => result.next.probabilities.get(id) ?? 0),
  );
  await context.dispose();
  await model.dispose();
  return found;
}
