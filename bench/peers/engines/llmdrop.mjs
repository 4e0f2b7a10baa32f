// llm-drop: node llmdrop.mjs '{"dist", "folder"?, "threads", "kv", "int4"?: group}'
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { int4Source } from '../int4.mjs';
import { secondsOf, serve, values } from '../serve.mjs';

const { dist, folder, threads, kv, int4 } = JSON.parse(process.argv[2]);
const load = (path) => import(pathToFileURL(join(dist, path)).href);
const lib = await load('index.js');
const { measureTest } = await load('bench/index.js');

const engine = await lib.createEngine('wasm', { threads });
const model = folder && (await (int4 ? int4Model() : lib.loadModel(folder, { engine })));

/** Every matrix of the model, its embedding and head too, in int4 groups. */
async function int4Model() {
  const checkpoint = await lib.openCheckpoint(folder);
  const config = lib.parseConfig(checkpoint.config, folder);
  const parameters = {
    folder,
    has: (name) => checkpoint.has(name),
    source: (name) => {
      const source = checkpoint.source(name);
      return source.shape.length > 1 ? int4Source(source, int4, lib.decodeFloats) : source;
    },
  };
  return await new lib.Model(engine, config, lib.familyOf(config, folder), parameters).load();
}

const test = (kind) => (tokens, depth) => measureTest(model, { kind, tokens: Number(tokens), depth: Number(depth), batch: 1 }, { kv });

const products = new Map();

/** x [m, k] times w [n, k] transposed, in GFLOP/s. */
async function gemm(type, ...sizes) {
  const [m, k, n] = sizes.map(Number);
  const key = [type, m, k, n].join(' ');
  if (!products.has(key)) {
    const source = lib.arraySource(values(k * n), [n, k]);
    const weight = await engine.pack(type === 'f32' ? source : int4Source(source, int4 ?? 32, lib.decodeFloats), 'linear');
    products.set(key, { weight, x: engine.tensor(values(m * k), [m, k]) });
  }
  const { weight, x } = products.get(key);
  const run = () => engine.linear(x, [{ weight }]).forEach((y) => y.dispose());
  return (2 * m * k * n) / 1e9 / (await secondsOf(run));
}

const { abilities } = engine.backend;
const weights = model && { weightBytes: model.bytes, peakBytes: engine.peakBytes };
await serve({ name: 'llm-drop', ...abilities, kv, ...(int4 && { int4 }), ...weights }, { prefill: test('prefill'), decode: test('decode'), gemm });
