/**
 * Tile plans beside each other on a whole model: for each an engine in this process, which take samples in turns, so that
 * ratios hold on a machine whose speed moves. The tier's own plan is the first; others change fields of it:
 * `npm exec --yes --package=node@26 -- node --import tsx bench/plans.ts FOLDER 'tile.depth=2048 tile.block=258'
 * 'int4.rows=6 int4.block=252' [--int4] [--prefill 512] [--decode 64] [--depth 0] [--rounds 9] [--threads 2]`.
 * `LLM_DROP_WASM_TIER` forces another tier.
 */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { filledCache, measureTest } from '../src/bench/measureTest.js';
import { Engine } from '../src/engine/engine.js';
import { plansOf, type Plans } from '../src/engine/wasm/runtime/tier.js';
import { createWasmBackend } from '../src/engine/wasm/wasmBackend.js';
import type { KvCache } from '../src/engine/kvCache.js';
import { loadModel, type Model } from '../src/models/index.js';
import { rtnQuantizer } from '../src/quant/index.js';
import { median } from './readRate.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    int4: { type: 'boolean', default: false },
    prefill: { type: 'string', default: '512' },
    decode: { type: 'string', default: '64' },
    depth: { type: 'string', default: '0' },
    rounds: { type: 'string', default: '9' },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
});
const [folder, ...changes] = positionals;
if (!folder) throw new Error('give a model folder');
const [prefill, decode, depth, rounds, threads] = [
  values.prefill,
  values.decode,
  values.depth,
  values.rounds,
  values.threads,
].map(Number);

/** `plans` with the fields that `text` names changed. */
function changed(plans: Plans, text: string): Plans {
  const copy: Record<string, Record<string, unknown>> = { tile: { ...plans.tile }, int4: { ...plans.int4 } };
  for (const field of text.split(' ')) {
    const [, plan, key, value] = /^(tile|int4)\.(\w+)=(.*)$/.exec(field) ?? [];
    if (!plan || !(key in copy[plan])) throw new Error(`no field of a plan: ${field}`);
    const parsed: unknown = typeof copy[plan][key] === 'string' ? value : JSON.parse(value);
    if (typeof parsed !== typeof copy[plan][key]) throw new Error(`${field}: expected a ${typeof copy[plan][key]}`);
    copy[plan][key] = parsed;
  }
  return copy as unknown as Plans;
}

const kv = values.int4 ? 'float16' : 'float32';
const quantize = values.int4 ? rtnQuantizer({ groupSize: 32, symmetric: true, head: 'int4' }) : undefined;
const tests = [
  { kind: 'prefill', tokens: prefill, depth, batch: 1 },
  { kind: 'decode', tokens: decode, depth, batch: 1 },
] as const;
const variants: { name: string; model: Model; caches: KvCache[]; speeds: number[][] }[] = [];
let tier: string | undefined;
for (const name of ['own', ...changes]) {
  const backend = await createWasmBackend({ threads, v8Flags: true }, undefined, (tier) =>
    name === 'own' ? plansOf(tier) : changed(plansOf(tier), name),
  );
  ({ tier } = backend.abilities);
  const model = await loadModel(folder, { engine: new Engine(backend), quantize });
  const caches: KvCache[] = [];
  for (const test of tests) caches.push(await filledCache(model, test, { kv }));
  variants.push({ name, model, caches, speeds: tests.map((): number[] => []) });
}
for (let round = -1; round < rounds; round++)
  for (let turn = 0; turn < variants.length; turn++) {
    const { model, caches, speeds } = variants[(turn + Math.max(0, round)) % variants.length];
    for (const [i, test] of tests.entries()) {
      const speed = test.tokens > 0 ? await measureTest(model, test, { kv }, caches[i]) : NaN;
      if (round >= 0) speeds[i].push(speed);
    }
  }
console.log(`${cpus()[0].model}, Node ${process.versions.node}, tier ${tier}, ${threads} threads, ${rounds} rounds`);
console.table(
  variants.map(({ name, speeds }) =>
    Object.assign(
      { plan: name },
      ...tests.map(({ kind, tokens }, i) => {
        const ratios = speeds[i].map((speed, round) => speed / variants[0].speeds[i][round]);
        return {
          [`${kind} ${tokens}, tokens/s`]: median(speeds[i]).toPrecision(4),
          [`${kind} over own`]: `${median(ratios).toFixed(3)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`,
        };
      }),
    ),
  ),
);
process.exit(0);
