/**
 * A model of 7B shape in random int4, which no float file precedes: how fast it decodes beside what its bytes allow.
 * `npm exec --yes --package=node@26 -- node --import tsx bench/large.ts [--group 32] [--depth 64] [--tokens 16]
 * [--threads 2] [--layers 32]`. Takes 6 GB of memory.
 *
 * A token reads all weights but the embedding, of which it reads a row, and the keys and values so far; the bound is
 * these bytes over the rate at which as many threads read memory in WebAssembly, measured before and after.
 */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { createBatch } from '../src/engine/batch.js';
import { createEngine } from '../src/engine/createEngine.js';
import { createModel } from '../src/models/index.js';
import { randomQuantizer } from '../src/quant/index.js';
import { ReadRate, median, secondsOf } from './readRate.js';

const { values } = parseArgs({
  options: {
    group: { type: 'string', default: '32' },
    depth: { type: 'string', default: '64' },
    tokens: { type: 'string', default: '16' },
    threads: { type: 'string', default: String(availableParallelism()) },
    layers: { type: 'string', default: '32' },
  },
});
const [group, depth, tokens, threads, layers] = [
  values.group,
  values.depth,
  values.tokens,
  values.threads,
  values.layers,
].map(Number);
const capacity = 2048;
const config = {
  modelType: 'llama',
  hiddenSize: 4096,
  intermediateSize: 11008,
  numHiddenLayers: layers,
  numAttentionHeads: 32,
  numKeyValueHeads: 32,
  vocabSize: 32000,
  maxPositionEmbeddings: 4096,
};

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;

const engine = await createEngine('wasm', { threads, v8Flags: true });

using reading = new ReadRate(threads);

console.log(
  `${cpus()[0].model}, Node ${process.versions.node}, ${threads} threads, tier ${engine.backend.abilities.tier}`,
);
const before = await reading.measure(15);
const start = performance.now();
const quantize = randomQuantizer({ groupSize: group as 32 | 64 | 128 });
const model = await createModel(config, { engine, quantize });
const cache = model.createCache({ capacity, dtype: 'float16' });
console.log(
  `made in ${((performance.now() - start) / 1e3).toFixed(0)} s: ${gigabytes(model.bytes)} of weights in groups of ` +
    `${group}, ${gigabytes(cache.bytes)} of cache`,
);

async function pass(ids: Int32Array): Promise<void> {
  const scope = engine.scope();
  const hidden = model.forward(createBatch([ids], [cache.lengths[0]]), { cache });
  await engine.read(engine.argmax(model.logits(hidden.rows(ids.length - 1, ids.length))));
  scope.dispose();
}
const ids = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => (i * 7919) % config.vocabSize);
let filling = 0;
while (cache.lengths[0] < depth) filling += await secondsOf(() => pass(ids(Math.min(512, depth - cache.lengths[0]))));
console.log(`prefill of ${depth}: ${(depth / filling).toFixed(1)} tokens/s`);
for (let i = 0; i < 4; i++) await pass(ids(1));
const times: number[] = [];
for (let i = 0; i < tokens; i++) times.push(await secondsOf(() => pass(ids(1))));
const after = await reading.measure(15);

const rate = (before + after) / 2;
const bytes = model.bytes - model.embedding.bytes + cache.lengths[0] * model.kvBytesPerToken('float16');
const perSecond = 1 / median(times);
console.log(
  `decode at ${cache.lengths[0]}: ${perSecond.toFixed(2)} tokens/s (${(1 / times[times.length - 1]).toFixed(2)} to ` +
    `${(1 / times[0]).toFixed(2)}); ${gigabytes(bytes)} a token at ${gigabytes(rate)}/s (before ${gigabytes(before)}/s, ` +
    `after ${gigabytes(after)}/s) allow ${(rate / bytes).toFixed(2)}: ${((perSecond * bytes) / rate).toFixed(2)} of it`,
);
console.log(`resident: ${gigabytes(process.memoryUsage.rss())}`);
cache.dispose();
model.dispose();
engine.dispose();
