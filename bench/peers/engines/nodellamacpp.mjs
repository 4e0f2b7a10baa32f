// llama.cpp by node-llama-cpp's JavaScript API: node nodellamacpp.mjs '{"gguf", "threads", "kv", "context"}'
import { serve } from '../serve.mjs';

process.env.NODE_LLAMA_CPP_SKIP_DOWNLOAD = 'true';
const { getLlama, LlamaLogLevel } = await import('node-llama-cpp');
const { gguf, threads, kv, context: contextSize } = JSON.parse(process.argv[2]);

const llama = await getLlama({
  gpu: false,
  build: 'never',
  skipDownload: true,
  logLevel: LlamaLogLevel.error,
  maxThreads: threads,
});
const model = await llama.loadModel({ modelPath: gguf, gpuLayers: 0 });
const type = kv === 'float32' ? 'F32' : 'F16';
const context = await model.createContext({
  contextSize,
  batchSize: 512,
  threads: { ideal: threads, min: threads },
  experimentalKvCacheKeyType: type,
  experimentalKvCacheValueType: type,
});
const sequence = context.getSequence();
const draw = (count) => Array.from({ length: count }, () => 300 + Math.floor(Math.random() * 20000));

async function test(count, depth, run) {
  await sequence.clearHistory();
  if (depth > 0) await sequence.evaluateWithoutGeneratingNewTokens(draw(depth));
  const start = performance.now();
  await run(count);
  return (count * 1000) / (performance.now() - start);
}

await serve(
  {
    name: 'node-llama-cpp',
    api: 'JavaScript',
    threads: context.currentThreads,
    cache: type,
    release: llama.llamaCppRelease?.release,
  },
  {
    // Without logits: this API computes them only to choose a token.
    prefill: (count, depth) =>
      test(Number(count), Number(depth), (n) => sequence.evaluateWithoutGeneratingNewTokens(draw(n))),
    decode: (count, depth) =>
      test(Number(count), Number(depth), async (n) => {
        for (const token of draw(n)) await sequence.controlledEvaluate([[token, { generateNext: { token: true } }]]);
      }),
  },
);
