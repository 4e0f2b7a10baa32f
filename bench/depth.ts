/**
 * What a long context costs a decoded token: its time at a depth beyond that at 64, beside reading the further keys and
 * values at the rate at which as many threads read memory in WebAssembly, measured in the same rounds.
 * `npm exec --yes --package=node@26 -- node --import tsx bench/depth.ts FOLDER [--depth 2048] [--kv float16] [--int4]
 * [--rounds 15] [--threads 2]`.
 */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { measureTest, filledCache } from '../src/bench/measureTest.js';
import { createEngine } from '../src/engine/createEngine.js';
import { loadModel } from '../src/models/index.js';
import { rtnQuantizer } from '../src/quant/index.js';
import { ReadRate, median } from './readRate.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    depth: { type: 'string', default: '2048' },
    kv: { type: 'string', default: 'float16' },
    int4: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '15' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
const [folder] = positionals;
if (!folder) throw new Error('give a model folder');
const [depth, rounds, threads] = [values.depth, values.rounds, values.threads].map(Number);
const kv = values.kv as 'float16' | 'float32';
const tokens = 32;
const shallow = 64;

using reading = new ReadRate(threads, 256);
using engine = await createEngine('wasm', { threads, v8Flags: true });
const quantize = values.int4 ? rtnQuantizer({ groupSize: 32, symmetric: true, head: 'int4' }) : undefined;
await using model = await loadModel(folder, { engine, quantize });
const tests = [shallow, depth].map((depth) => ({ kind: 'decode', tokens, depth, batch: 1 }) as const);
const caches = [];
for (const test of tests) caches.push(await filledCache(model, test, { kv }));

const bytes = (depth - shallow) * model.kvBytesPerToken(kv);
const samples: { times: number[]; extra: number; rate: number }[] = [];
for (let round = -1; round < rounds; round++) {
  const rate = await reading.measure(3);
  const times: number[] = [];
  for (const [i, test] of tests.entries()) times.push(1 / (await measureTest(model, test, { kv }, caches[i])));
  if (round >= 0) samples.push({ times, extra: times[1] - times[0], rate });
}
const milliseconds = (of: (sample: (typeof samples)[number]) => number): string =>
  (1e3 * median(samples.map(of))).toFixed(2);
const ratios = samples.map(({ extra, rate }) => (extra * rate) / bytes);
console.log(
  `${cpus()[0].model}, Node ${process.versions.node}, ${threads} threads, tier ${engine.backend.abilities.tier}, ` +
    `${kv} keys and values, medians of ${rounds} rounds`,
);
console.log(
  `a token at ${shallow}: ${milliseconds(({ times }) => times[0])} ms, at ${depth}: ${milliseconds(({ times }) => times[1])} ms; ` +
    `${milliseconds(({ extra }) => extra)} ms for ${(bytes / 1e6).toFixed(1)} MB, which are read in ` +
    `${milliseconds(({ rate }) => bytes / rate)} ms at ${(median(samples.map(({ rate }) => rate)) / 1e9).toFixed(1)} GB/s: ` +
    `${median(ratios).toFixed(2)} times that (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`,
);
for (const cache of caches) cache.dispose();
