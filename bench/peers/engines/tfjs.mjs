// TensorFlow.js's WebAssembly backend, matrix products: node tfjs.mjs '{"threads"}'
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { secondsOf, serve, values } from '../serve.mjs';

// Its ES modules have no extensions, which Node refuses.
const require = createRequire(import.meta.url);
const tf = require('@tensorflow/tfjs-core');
const wasm = require('@tensorflow/tfjs-backend-wasm');

const { threads } = JSON.parse(process.argv[2]);
wasm.setWasmPaths(`${join(dirname(require.resolve('@tensorflow/tfjs-backend-wasm/package.json')), 'dist')}/`);
wasm.setThreadsCount(threads);
await tf.setBackend('wasm');
await tf.ready();

const products = new Map();

async function gemm(type, ...sizes) {
  if (type !== 'f32') throw new Error('TensorFlow.js has no int4');
  const [m, k, n] = sizes.map(Number);
  const key = [m, k, n].join(' ');
  if (!products.has(key))
    products.set(key, { x: tf.tensor2d(values(m * k), [m, k]), w: tf.tensor2d(values(k * n), [k, n]) });
  const { x, w } = products.get(key);
  const run = () => {
    const y = tf.matMul(x, w);
    y.dataSync();
    y.dispose();
  };
  return (2 * m * k * n) / 1e9 / (await secondsOf(run));
}

await serve({ name: 'tfjs-wasm', version: tf.version_core, threads: wasm.getThreadsCount() }, { gemm });
