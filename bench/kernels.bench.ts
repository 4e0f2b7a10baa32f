/**
 * The wasm backend's kernels beside what one thread of this machine can do: `npx tsx bench/kernels.bench.ts [name part]`.
 * Rates are those of the best run, which other load on the machine disturbs least.
 */
import { cpus } from 'node:os';
import { Bench } from 'tinybench';
import { arraySource } from '../src/engine/arraySource.js';
import { createBatch } from '../src/engine/batch.js';
import { createEngine } from '../src/engine/createEngine.js';
import { Machine } from '../src/engine/wasm/runtime/machine.js';
import { bytesPerElement, type WeightDType } from '../src/engine/weight.js';
import { limits } from './limits.js';

interface Case {
  readonly name: string;
  /** Operations (a multiplication or an addition each). */
  readonly operations?: number;
  /** Bytes read. */
  readonly bytes?: number;
  readonly run: () => void;
}

/** On the machine's best tier. */
const options = { threads: 1, v8Flags: true };

const values = (count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => ((i * 2654435761) % 2000) / 1000 - 1);

function limitCases(): Case[] {
  const machine = new Machine();
  const into = machine.memory.allocate(256).address;
  const large = machine.memory.allocate(2 ** 28).address;
  machine.memory.floats(large, 2 ** 26).fill(1);
  const { multiplyAdd, read } = machine.kernels(limits);
  return [
    { name: 'limit: multiply and add', operations: 64e6, run: () => multiplyAdd({ count: 1e6, into }) },
    { name: 'limit: read 256 MiB', bytes: 2 ** 28, run: () => read({ from: large, bytes: 2 ** 28, into }) },
    { name: 'limit: read 4 MiB', bytes: 2 ** 22, run: () => read({ from: large, bytes: 2 ** 22, into }) },
  ];
}

async function linearCase(rows: number, inner: number, out: number, dtype: WeightDType = 'float32'): Promise<Case> {
  const engine = await createEngine('wasm', options);
  const weight = await engine.pack(arraySource(values(inner * out), [out, inner], { dtype }), 'linear');
  const x = engine.tensor(values(rows * inner), [rows, inner]);
  return {
    name: `linear ${rows} x ${inner} x ${out}, ${dtype}`,
    operations: 2 * rows * inner * out,
    bytes: rows === 1 ? bytesPerElement[dtype] * inner * out : undefined,
    run: () => engine.linear(x, [{ weight }]).forEach((y) => y.dispose()),
  };
}

async function attentionCase(tokens: number, past: number, dtype: 'float32' | 'float16'): Promise<Case> {
  const engine = await createEngine('wasm', options);
  const [heads, keyValueHeads, headDim] = [9, 3, 64];
  const [q, k, v] = [heads, keyValueHeads, keyValueHeads].map((n) =>
    engine.tensor(values(tokens * n * headDim), [tokens, n * headDim]),
  );
  const cache = engine.createCache({ layers: [0], slots: 1, capacity: past + tokens, keyValueHeads, headDim, dtype });
  cache.lengths[0] = past;
  const batch = createBatch([new Int32Array(tokens)], [past]);
  const seen = tokens * past + (tokens * (tokens + 1)) / 2;
  return {
    name: `attention ${tokens} after ${past}, 9 / 3 heads of 64, ${dtype}`,
    operations: 4 * heads * headDim * seen,
    run: () =>
      engine
        .attention({ q, k, v, cache, layer: 0, batch, spec: { heads, keyValueHeads, headDim, scale: 0.125 } })
        .dispose(),
  };
}

async function otherCases(): Promise<Case[]> {
  const engine = await createEngine('wasm', options);
  const x = engine.tensor(values(512 * 576), [512, 576]);
  const y = engine.tensor(values(512 * 576), [512, 576]);
  const gain = engine.tensor(values(576));
  const sums = engine.accumulator(576 ** 2);
  const head = await engine.pack(arraySource(values(49152 * 576), [49152, 576]), 'both');
  const targets = new Int32Array(512);
  return [
    { name: 'cosine 512 x 576', operations: 6 * 512 * 576, run: () => engine.cosine(x, y, sums, 0) },
    { name: 'gram 512 x 576', operations: 512 * 576 ** 2, run: () => engine.gram(x, sums) },
    {
      name: 'rmsNorm 512 x 576',
      operations: 4 * 512 * 576,
      run: () => engine.rmsNorm(x, { gain, epsilon: 1e-5 }).dispose(),
    },
    { name: 'softmax 512 x 576', operations: 20 * 512 * 576, run: () => engine.softmax(x).dispose() },
    {
      name: 'crossEntropy 512 x 576 x 49152',
      operations: 2 * 512 * 576 * 49152,
      run: () => engine.crossEntropy(x, { weight: head }, targets).dispose(),
    },
  ];
}

const cases = [
  ...limitCases(),
  await linearCase(128, 576, 1536),
  await linearCase(512, 576, 1536),
  await linearCase(512, 1536, 576),
  await linearCase(4, 576, 1536),
  await linearCase(1, 576, 1536),
  await linearCase(1, 576, 49152),
  await linearCase(128, 576, 1536, 'bfloat16'),
  await linearCase(128, 576, 1536, 'float16'),
  await linearCase(1, 576, 1536, 'bfloat16'),
  await linearCase(1, 576, 1536, 'float16'),
  await linearCase(1, 576, 49152, 'bfloat16'),
  await linearCase(1, 576, 49152, 'float16'),
  await attentionCase(512, 0, 'float32'),
  await attentionCase(512, 0, 'float16'),
  await attentionCase(1, 512, 'float32'),
  await attentionCase(1, 512, 'float16'),
  ...(await otherCases()),
].filter(({ name }) => name.includes(process.argv[2] ?? ''));

console.log(`${cpus()[0].model}, Node ${process.versions.node}, one thread`);
const bench = new Bench({ time: 300, iterations: 5, warmupTime: 100, warmupIterations: 3 });
for (const { name, run } of cases) bench.add(name, run);
await bench.run();
const show = (perSecond: number | undefined): string => (perSecond === undefined ? '' : (perSecond / 1e9).toFixed(1));
console.table(
  bench.tasks.map((task, i) => {
    const result = task.result as { latency?: { p50: number; min: number } };
    const { p50 = NaN, min = NaN } = result.latency ?? {};
    const { operations, bytes } = cases[i];
    const rate = (count?: number): string => show(count && count / (min / 1e3));
    return {
      name: task.name,
      'median ms': p50.toPrecision(3),
      'best ms': min.toPrecision(3),
      'GFLOP/s': rate(operations),
      'GB/s': rate(bytes),
    };
  }),
);
