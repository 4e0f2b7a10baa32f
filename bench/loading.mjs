/**
 * Loading a model folder, beside reading its files: `node bench/loading.mjs FOLDER [--rounds 7] [--threads 2]`.
 *
 * - Time: from a ready engine to a loaded model, over the time of reading the same bytes once, warm, into a reused
 *   buffer. Both alternate in one process after one round of each; medians. Beside them what touching as much fresh
 *   memory costs by itself, as the system gives each page out cleared: no loader that keeps the weights is faster.
 * - Memory: the peak of a process that loads, less that of one that has its tokenizer and kernels ready, over the bytes
 *   of the weights.
 */
import { fork } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createBatch, createEngine, createModel, loadModel, loadTokenizer } from '../dist/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '7' }, threads: { type: 'string' }, part: { type: 'string' } },
});
const [folder] = positionals;
if (!folder) throw new Error('give a model folder');
const options = values.threads ? { threads: Number(values.threads) } : {};

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const timed = async (work) => {
  const start = performance.now();
  const result = await work();
  return [performance.now() - start, result];
};

/** Bytes in memory at most so far. */
const peak = () =>
  process.platform === 'linux'
    ? 1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
    : 1024 * process.resourceUsage().maxRSS;

/** Reads all weights of the folder into one buffer of 1 MiB, again and again. */
function readAll() {
  const buffer = Buffer.alloc(1 << 20);
  let bytes = 0;
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.safetensors'))) {
    const fd = openSync(join(folder, file));
    const { size } = fstatSync(fd);
    for (let at = 0; at < size;) at += readSync(fd, buffer, 0, Math.min(buffer.length, size - at), at);
    closeSync(fd);
    bytes += size;
  }
  return bytes;
}

/** A tokenizer, and an engine whose kernels are compiled and whose threads run. */
async function ready() {
  const tokenizer = await loadTokenizer(folder);
  const engine = await createEngine('wasm', options);
  const sizes = { hiddenSize: 64, intermediateSize: 128, numHiddenLayers: 1, numAttentionHeads: 2, vocabSize: 4096 };
  const model = await createModel({ modelType: 'llama', ...sizes }, { engine });
  const scope = engine.scope();
  await engine.read(model.logits(model.forward(createBatch([Int32Array.from({ length: 64 }, (_, i) => i)]))));
  scope.dispose();
  model.dispose();
  return { tokenizer, engine };
}

/** Writes to each page of so many bytes of a fresh memory. */
function touch(bytes) {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536), maximum: 65536, shared: true });
  const view = new Uint8Array(memory.buffer);
  return timed(() => {
    for (let at = 0; at < bytes; at += 4096) view[at] = 1;
  });
}

const parts = {
  async time() {
    readAll();
    const { engine } = await ready();
    const times = { read: [], load: [], touch: [] };
    let bytes;
    for (let round = 0; round <= Number(values.rounds); round++) {
      const [read] = await timed(readAll);
      // Another engine, so that its memory is fresh each time.
      const { engine } = await ready();
      const [load, model] = await timed(() => loadModel(folder, { engine }));
      ({ bytes } = model);
      await model.close();
      engine.dispose();
      const [touched] = await touch(bytes);
      if (round > 0) Object.entries({ read, load, touch: touched }).forEach(([name, ms]) => times[name].push(ms));
    }
    engine.dispose();
    return { bytes, ...times };
  },
  async memory() {
    readAll();
    const { engine } = await ready();
    const before = peak();
    const model = await loadModel(folder, { engine });
    return { before, peak: peak(), bytes: model.bytes };
  },
  async idle() {
    readAll();
    await ready();
    return { peak: peak() };
  },
};

if (values.part) process.send(await parts[values.part](), () => process.exit(0));
else {
  const child = (part) =>
    new Promise((resolve, reject) => {
      const process = fork(new URL(import.meta.url), [...globalThis.process.argv.slice(2), '--part', part]);
      process.once('message', resolve);
      process.once('exit', (code) => code && reject(new Error(`${part} failed`)));
    });
  const time = await child('time');
  const [idle, memory] = [await child('idle'), await child('memory')];
  const [read, load, touched] = [time.read, time.load, time.touch].map(median);
  const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const spread = (numbers) => `${Math.min(...numbers).toFixed(0)} to ${Math.max(...numbers).toFixed(0)}`;
  console.log(`${cpus()[0].model}, Node ${process.versions.node}: ${folder}, ${mib(time.bytes)} of weights`);
  console.log(`read once:     ${read.toFixed(1)} ms (${spread(time.read)})`);
  console.log(`touch memory:  ${touched.toFixed(1)} ms (${spread(time.touch)}), one thread`);
  console.log(
    `load:          ${load.toFixed(1)} ms (${spread(time.load)}): ${(load / read).toFixed(2)} of reading once`,
  );
  const added = memory.peak - idle.peak;
  const allowed = 1.15 * memory.bytes + 16 * 2 ** 20;
  console.log(
    `peak memory:   ${mib(added)} above ${mib(idle.peak)}: ${(added / memory.bytes).toFixed(3)} of the weights, ` +
      `${added <= allowed ? 'within' : 'over'} 1.15 times them and 16 MiB (${mib(allowed)})`,
  );
}
