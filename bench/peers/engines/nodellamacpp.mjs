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

/** So many sequences at once, each a prompt of `length` tokens and `out` tokens after it, in a context of its own. */
async function clients(...given) {
  const [count, length, out] = given.map(Number);
  const shared = await model.createContext({
    contextSize: length + out,
    sequences: count,
    batchSize: 512,
    threads: { ideal: threads, min: threads },
    experimentalKvCacheKeyType: type,
    experimentalKvCacheValueType: type,
  });
  const sequences = Array.from({ length: count }, () => shared.getSequence());
  const start = performance.now();
  await Promise.all(
    sequences.map(async (one) => {
      let left = out;
      for await (const _ of one.evaluate(draw(length), { temperature: 0, yieldEogToken: true }))
        if (--left === 0) break;
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  await shared.dispose();
  return (count * out) / seconds;
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
    clients,
    decode: (count, depth) =>
      test(Number(count), Number(depth), async (n) => {
        for (const token of draw(n)) await sequence.controlledEvaluate([[token, { generateNext: { token: true } }]]);
      }),
  },
);
