/**
 * Products with int4 weights, one thread: `npx tsx bench/int4.bench.ts [name part] [--wide]`, the latter to have V8 pair
 * vectors to 256 bits (Node 26). Operations are a multiplication or an addition each; bytes those of the weight.
 */
import { cpus } from 'node:os';
import { Bench } from 'tinybench';
import type { Int4Format } from '../src/engine/int4.js';
import { packInt4 } from '../src/engine/wasm/operations/int4/packInt4.js';
import {
  bytesPlan,
  pairsPlan,
  shortsPlan,
  wideBytesPlan,
  wideShortsPlan,
  type Int4Plan,
} from '../src/engine/wasm/layouts/int4/int4Plan.js';
import { exactRowTasks, int4Form } from '../src/engine/wasm/operations/int4/int4Product.js';
import { integerProduct } from '../src/engine/wasm/operations/integerProduct.js';
import { quantizeRows } from '../src/engine/wasm/operations/quantizedRows.js';
import { rowMajor } from '../src/engine/wasm/operations/packRows.js';
import { Machine } from '../src/engine/wasm/runtime/machine.js';
import { isKnown, prepare } from '../src/engine/wasm/runtime/tier.js';
import { relaxedTile, strictTile } from '../src/engine/wasm/layouts/tilePlan.js';
import { randomInt4 } from '../src/quant/randomInt4.js';

interface Case {
  readonly name: string;
  readonly operations: number;
  readonly bytes: number;
  readonly run: () => void;
}

type GroupSize = Int4Format['groupSize'];

async function productCase(
  plan: Int4Plan,
  rows: number,
  depth: number,
  out: number,
  groupSize: GroupSize,
): Promise<Case[]> {
  const machine = new Machine(plan, false, 1, plan.dot === 'pairs' ? strictTile : relaxedTile);
  const source = randomInt4('w', [out, depth], { groupSize });
  const storage = await packInt4(machine, source);
  const right = storage.matrices[0];
  const form = int4Form(plan, groupSize);
  const x = machine.memory.allocate(4 * rows * depth).address;
  machine.memory
    .floats(x, rows * depth)
    .set(Float32Array.from({ length: rows * depth }, (_, i) => ((i * 2654435761) % 2000) / 1000 - 1));
  const y = machine.memory.allocate(4 * rows * out).address;
  const shape = `${rows} x ${depth} x ${out} g${groupSize}`;
  const name = `${plan.dot} ${shape}`;
  const exact = {
    name: `exact ${shape}`,
    operations: 2 * rows * depth * out,
    bytes: storage.bytes,
    run: () => machine.run(exactRowTasks(machine, x, right, y)),
  };
  return [
    ...(rows === 1 && plan === plans.at(-1) ? [exact] : []),
    {
      name,
      operations: 2 * rows * depth * out,
      bytes: storage.bytes,
      run: () => {
        using frame = machine.memory.frame();
        integerProduct(machine, quantizeRows(machine, frame, rowMajor(x, rows, depth), form), right, y);
      },
    },
    {
      name: `${name}: quantizing x`,
      operations: 3 * rows * depth,
      bytes: 4 * rows * depth,
      run: () => {
        using frame = machine.memory.frame();
        quantizeRows(machine, frame, rowMajor(x, rows, depth), form);
      },
    },
  ];
}

const wide = process.argv.includes('--wide');
const relaxedPlans = wide ? [wideBytesPlan, wideShortsPlan] : [bytesPlan, shortsPlan];
const tier = wide ? 'revectorized' : 'relaxed';
prepare(tier);
const plans = isKnown(tier) ? [pairsPlan, ...relaxedPlans] : [pairsPlan];
const shapes: [rows: number, depth: number, out: number, groupSize: GroupSize][] = [
  [1, 4096, 4096, 32],
  [1, 4096, 4096, 128],
  [1, 576, 1536, 32],
  [1, 1536, 576, 32],
  [2, 4096, 4096, 32],
  [4, 4096, 4096, 32],
  [128, 576, 1536, 32],
  [512, 2048, 2048, 32],
  [512, 2048, 2048, 128],
];
const cases: Case[] = [];
for (const plan of plans) for (const shape of shapes) cases.push(...(await productCase(plan, ...shape)));
const chosen = cases.filter(({ name }) =>
  name.includes(process.argv.slice(2).find((word) => !word.startsWith('--')) ?? ''),
);

console.log(`${cpus()[0].model}, Node ${process.versions.node}, one thread`);
const bench = new Bench({ time: 200, iterations: 5, warmupTime: 100, warmupIterations: 3 });
for (const { name, run } of chosen) bench.add(name, run);
await bench.run();
console.table(
  bench.tasks.map((task, i) => {
    const { p50 = NaN, min = NaN } = (task.result as { latency?: { p50: number; min: number } }).latency ?? {};
    const rate = (count: number): string => (count / p50 / 1e6).toFixed(1);
    return {
      name: task.name,
      'median ms': p50.toPrecision(3),
      'best ms': min.toPrecision(3),
      'GOP/s': rate(chosen[i].operations),
      'GB/s': rate(chosen[i].bytes),
    };
  }),
);
