/**
 * What calibrating one projection costs at the widths of a large model: the Gram matrix of its inputs, its Cholesky
 * factor, and the whole of GPTQ. `npx tsx bench/secondOrder.ts [--width 11008] [--out 4096] [--tokens 2048]
 * [--threads 2]`: the default is the down projection of a 7B Llama, and takes some 6 GB of memory. Times are the
 * process's own, of all its threads, so that other programs disturb them less.
 */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { dampedCholesky } from '../src/linalg/index.js';
import { createEngine } from '../src/engine/createEngine.js';
import { gptq } from '../src/quant/index.js';

const { values } = parseArgs({
  options: {
    width: { type: 'string', default: '11008' },
    out: { type: 'string', default: '4096' },
    tokens: { type: 'string', default: '2048' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
const [width, out, tokens, threads] = [values.width, values.out, values.tokens, values.threads].map(Number);

/** Like the inputs of a projection: neighbours have something in common. */
function random(length: number, seed: number): Float32Array {
  let [state, last] = [seed, 0];
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (last = 0.5 * last + state / 2 ** 31 - 1);
  });
}

/** Processor seconds of `work`. */
async function measured<T>(name: string, operations: number, work: () => T | Promise<T>): Promise<T> {
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  const result = await work();
  const { user, system } = process.cpuUsage(cpu);
  const [seconds, wall] = [(user + system) / 1e6, (performance.now() - start) / 1e3];
  const rate = `${(operations / seconds / 1e9).toFixed(2)} GFLOP/s`;
  console.log(`${name}: ${seconds.toFixed(1)} processor seconds (${rate}), ${wall.toFixed(1)} s`);
  return result;
}

console.log(`${cpus()[0].model.trim()}, node ${process.version}, ${threads} threads`);
console.log(`weight [${out}, ${width}], ${tokens} tokens, float64`);
const engine = await createEngine('wasm', { threads, v8Flags: true });
const sum = engine.accumulator(width * width);
const x = engine.tensor(random(tokens * width, 1), [tokens, width]);
await measured('Gram', tokens * width ** 2, () => engine.gram(x, sum));
const gram = await engine.readAccumulator(sum);
for (const used of [x, sum]) used.dispose();
engine.dispose();
const scratch = gram.slice();
await measured('Cholesky', width ** 3 / 3, () => dampedCholesky(scratch, width, 0.01));
const weight = random(out * width, 2);
await measured('GPTQ (factor, inverse, rounding)', (2 / 3) * width ** 3 + out * width ** 2, () =>
  gptq(weight, width, gram, { groupSize: 128, symmetric: true }, 'down_proj'),
);
console.log(`peak memory ${(process.resourceUsage().maxRSS / 1e6).toFixed(2)} GB`);
