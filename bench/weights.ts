/**
 * Models, folders or GGUF files, with their weights held as stored, bfloat16, int8 and int4, in turns: prefill, decoding, and the share of the
 * rate at which as many threads read memory in WebAssembly, measured in the same rounds, that decoding reaches: by medians,
 * and by the best of each, which other programs disturb least.
 * `npm exec --yes --package=node@26 -- node --import tsx bench/weights.ts MODEL [MODEL ...] [--held stored,int8] [--prefill 512]
 * [--decode 32] [--rounds 9] [--threads 2]`. `LLM_DROP_WASM_TIER` forces another tier.
 */
import { availableParallelism, cpus } from 'node:os';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { filledCache, measureTest } from '../src/bench/measureTest.js';
import { createEngine } from '../src/engine/createEngine.js';
import { loadModel, type Quantize } from '../src/models/index.js';
import { asBfloat16, int8Quantizer, rtnQuantizer } from '../src/quant/index.js';
import { ReadRate, median } from './readRate.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    held: { type: 'string', default: 'stored,bfloat16,int8,int4' },
    prefill: { type: 'string', default: '512' },
    decode: { type: 'string', default: '32' },
    rounds: { type: 'string', default: '9' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
if (!positionals.length) throw new Error('give a model folder or a GGUF file');
const [prefill, decode, rounds, threads] = [values.prefill, values.decode, values.rounds, values.threads].map(Number);

const quantizers: Readonly<Record<string, Quantize | undefined>> = {
  stored: undefined,
  bfloat16: (source) => asBfloat16(source),
  int8: int8Quantizer(),
  int4: rtnQuantizer({ groupSize: 32, head: 'int4' }),
  // As GGUF files of 4 bits have it.
  'int4-head8': rtnQuantizer({ groupSize: 32, symmetric: false, head: 'int8' }),
};
const tests = [
  { kind: 'prefill', tokens: prefill, depth: 0, batch: 1 },
  { kind: 'decode', tokens: decode, depth: 0, batch: 1 },
] as const;
using reading = new ReadRate(threads, 256);
using engine = await createEngine('wasm', { threads, v8Flags: true });
const variants = [];
for (const [path, held] of positionals.flatMap((path) => values.held.split(',').map((held) => [path, held] as const))) {
  if (!Object.hasOwn(quantizers, held)) throw new Error(`--held is of ${Object.keys(quantizers).join(', ')}`);
  const model = await loadModel(path, { engine, quantize: quantizers[held] });
  const caches = [];
  for (const test of tests) caches.push(await filledCache(model, test));
  variants.push({ name: basename(path), held, model, caches, speeds: tests.map((): number[] => []) });
}
const gigas = (rate: number): string => (rate / 1e9).toFixed(1);
const rates: number[] = [];
for (let round = -1; round < rounds; round++) {
  const rate = await reading.measure(3);
  if (round >= 0) rates.push(rate);
  for (const { model, caches, speeds } of variants)
    for (const [i, test] of tests.entries()) {
      const speed = test.tokens > 0 ? await measureTest(model, test, {}, caches[i]) : NaN;
      if (round >= 0) speeds[i].push(speed);
    }
}
console.log(
  `${cpus()[0].model}, Node ${process.versions.node}, tier ${engine.backend.abilities.tier}, ${threads} threads, ` +
    `medians of ${rounds} rounds and the best; memory is read at ${gigas(median(rates))}, at best ${gigas(Math.max(...rates))} GB/s`,
);
console.table(
  variants.map(({ name, held, model, speeds: [prefills, decodes] }) => {
    const share = (speed: number, rate: number): string => ((speed * model.bytes) / rate).toFixed(2);
    const both = (speeds: readonly number[]): string =>
      `${median(speeds).toPrecision(4)}, ${Math.max(...speeds).toPrecision(4)}`;
    return {
      model: name,
      weights: held,
      MB: (model.bytes / 1e6).toFixed(0),
      'prefill, tokens/s': both(prefills),
      'decode, tokens/s': both(decodes),
      'share of the read rate': `${share(median(decodes), median(rates))}, ${share(Math.max(...decodes), Math.max(...rates))}`,
    };
  }),
);
for (const { model } of variants) model.dispose();
process.exit(0);
