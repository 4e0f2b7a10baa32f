// onnxruntime-node's matrix products: node onnxruntime.mjs '{"threads"}'
import { createRequire } from 'node:module';
import ort from 'onnxruntime-node';
import { attribute, graph, initializer, node } from '../onnx.mjs';
import { quantize } from '../int4.mjs';
import { fromHalf } from '../halfFloat.mjs';
import { secondsOf, serve, values } from '../serve.mjs';

const { threads } = JSON.parse(process.argv[2]);
const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json');
const options = {
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
};

/** x [m, k] times a constant [k, n] that the session may lay out as it likes. */
const float = (m, k, n) =>
  graph(
    { x: [m, k] },
    { y: [m, n] },
    [initializer('w', 'float', [k, n], values(k * n))],
    [node('MatMul', ['x', 'w'], ['y'])],
  );

/** Q4_0's format with int8 activations (accuracy level 4): the same work as llama.cpp's and llm-drop's int4. */
function int4(m, k, n, group = 32) {
  const { quants, scales } = quantize(values(k * n), group);
  const packed = Uint8Array.from({ length: quants.length / 2 }, (_, i) => quants[2 * i] | (quants[2 * i + 1] << 4));
  const weights = [
    initializer('w', 'uint8', [n, k / group, group / 2], packed),
    initializer('s', 'float', [(n * k) / group], Float32Array.from(scales, fromHalf)),
  ];
  const sizes = { K: k, N: n, bits: 4, block_size: group, accuracy_level: 4 };
  const attributes = Object.entries(sizes).map(([name, value]) => attribute(name, value));
  return graph({ x: [m, k] }, { y: [m, n] }, weights, [
    node('MatMulNBits', ['x', 'w', 's'], ['y'], 'com.microsoft', attributes),
  ]);
}

const products = new Map();

async function gemm(type, ...sizes) {
  const [m, k, n] = sizes.map(Number);
  const key = [type, m, k, n].join(' ');
  if (!products.has(key)) {
    const session = await ort.InferenceSession.create((type === 'f32' ? float : int4)(m, k, n), options);
    const x = new ort.Tensor('float32', values(m * k), [m, k]);
    const y = new ort.Tensor('float32', new Float32Array(m * n), [m, n]);
    products.set(key, () => session.run({ x }, { y }));
  }
  return (2 * m * k * n) / 1e9 / (await secondsOf(products.get(key)));
}

await serve({ name: 'onnxruntime-node', version, threads }, { gemm });
