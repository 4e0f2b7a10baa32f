// llm-drop: node llmdrop.mjs '{"dist", "folder"?, "threads", "kv", "int4"?: group, "backend"?}'
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { secondsOf, serve, values } from '../serve.mjs';

const { dist, folder, threads, kv, int4, backend = 'wasm' } = JSON.parse(process.argv[2]);
const load = (path) => import(pathToFileURL(join(dist, path)).href);
const lib = await load('index.js');
const { arraySource } = await load('engine/index.js');
const { measureTest } = await load('bench/index.js');

const engine = await lib.createEngine(backend, { threads, v8Flags: true });
// Q4_0's format: symmetric, the embedding and head too.
const format = { groupSize: int4, symmetric: true, head: 'int4' };
const { rtn, rtnQuantizer } = int4 ? await load('quant/index.js') : {};
const quantize = int4 && rtnQuantizer(format);
const model = folder && (await lib.loadModel(folder, { engine, quantize }));

const test = (kind) => (tokens, depth) =>
  measureTest(model, { kind, tokens: Number(tokens), depth: Number(depth), batch: 1 }, { kv });

/** The likeliest token after 1000, 1001, ..., and its logit. */
async function check(count) {
  const scope = engine.scope();
  const hidden = model.forward(lib.createBatch([Array.from({ length: Number(count) }, (_, i) => 1000 + i)]));
  const logits = await engine.readFloats(model.logits(hidden.rows(Number(count) - 1, Number(count))));
  const token = logits.indexOf(Math.max(...logits));
  scope.dispose();
  return { token, logit: logits[token] };
}

/**
 * So many sequences at once: prompts of `length` tokens in passes of at most 512, and in the same passes a token of each
 * sequence whose prompt is done, the likeliest. A prompt that begins in a pass ends in it, if it has room.
 */
async function clients(...given) {
  const [count, length, out] = given.map(Number);
  const cache = model.createCache({ slots: count, capacity: length + out, dtype: kv });
  const sequences = Array.from({ length: count }, () => ({ next: draw(length), left: out }));
  for (;;) {
    let room = 512;
    const slots = [...sequences.keys()].filter((slot) => {
      const { next, left } = sequences[slot];
      const fits = left > 0 && next.length <= room;
      if (fits) room -= next.length;
      return fits;
    });
    if (slots.length === 0) break;
    const scope = engine.scope();
    const tokens = slots.map((slot) => sequences[slot].next);
    const batch = lib.createBatch(
      tokens,
      slots.map((slot) => cache.lengths[slot]),
      slots,
    );
    const logits = model.logits(model.forward(batch, { cache, last: true }));
    const likeliest = await engine.read(engine.argmax(logits));
    scope.dispose();
    slots.forEach((slot, row) => {
      sequences[slot].next = [likeliest[row]];
      sequences[slot].left--;
    });
  }
  cache.dispose();
}

const draw = (count) => Array.from({ length: count }, () => 300 + Math.floor(Math.random() * 20000));

const timed = async (count, length, out) => {
  const start = performance.now();
  await clients(count, length, out);
  return (Number(count) * Number(out) * 1000) / (performance.now() - start);
};

const products = new Map();

/** x [m, k] times w [n, k] transposed, in GFLOP/s. */
async function gemm(type, ...sizes) {
  const [m, k, n] = sizes.map(Number);
  const key = [type, m, k, n].join(' ');
  if (!products.has(key)) {
    const source = arraySource(values(k * n), [n, k]);
    const weight = await engine.pack(type === 'f32' ? source : rtn(source, format), 'linear');
    products.set(key, { weight, x: engine.tensor(values(m * k), [m, k]) });
  }
  const { weight, x } = products.get(key);
  const run = () => engine.linear(x, [{ weight }]).forEach((y) => y.dispose());
  return (2 * m * k * n) / 1e9 / (await secondsOf(run));
}

const { abilities } = engine.backend;
const weights = model && { weightBytes: model.bytes, peakBytes: engine.peakBytes };
await serve(
  { name: 'llm-drop', ...abilities, kv, ...(int4 && { int4 }), ...weights },
  { prefill: test('prefill'), decode: test('decode'), clients: timed, check, gemm },
);
