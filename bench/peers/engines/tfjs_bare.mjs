// A Llama in plain TensorFlow.js, with the operations that llm-drop's backend uses and nothing around them:
// node tfjs_bare.mjs '{"dist", "folder", "threads"}'. Legend: T tokens, H heads, K key-value heads, d head size.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { serve } from '../serve.mjs';

const { dist, folder, threads } = JSON.parse(process.argv[2]);
process.env.TF_NUM_INTRAOP_THREADS = String(threads);
process.env.TF_CPP_MIN_LOG_LEVEL ??= '1';
const tf = createRequire(import.meta.url)('@tensorflow/tfjs-node-gpu');
const { SafetensorsFile } = await import(pathToFileURL(join(dist, 'checkpoint/index.js')).href);
const { decodeFloats } = await import(pathToFileURL(join(dist, 'engine/index.js')).href);

const config = createRequire(import.meta.url)(join(folder, 'config.json'));
const { num_attention_heads: H, num_key_value_heads: K, num_hidden_layers: layers, rms_norm_eps: epsilon } = config;
const d = config.head_dim ?? config.hidden_size / H;
const file = await SafetensorsFile.open(join(folder, 'model.safetensors'));

async function weight(name) {
  const source = file.source(name);
  const rows = source.shape.slice(0, -1).reduce((a, b) => a * b, 1);
  return tf.tensor(decodeFloats(await source.readRows(0, rows), source.dtype), [...source.shape]);
}

const embedding = await weight('model.embed_tokens.weight');
const finalNorm = await weight('model.norm.weight');
const names = {
  ...{ norm1: 'input_layernorm', norm2: 'post_attention_layernorm' },
  ...{ q: 'self_attn.q_proj', k: 'self_attn.k_proj', v: 'self_attn.v_proj', o: 'self_attn.o_proj' },
  ...{ gate: 'mlp.gate_proj', up: 'mlp.up_proj', down: 'mlp.down_proj' },
};
const blocks = [];
for (let i = 0; i < layers; i++) {
  const block = {};
  for (const [key, name] of Object.entries(names)) block[key] = await weight(`model.layers.${i}.${name}.weight`);
  blocks.push(block);
}

const angles = (start, count) => {
  const values = new Float32Array((count * d) / 2);
  for (let t = 0; t < count; t++)
    for (let i = 0; i < d / 2; i++)
      values[(t * d) / 2 + i] = (start + t) / (config.rope_theta ?? 10000) ** ((2 * i) / d);
  return tf.tensor3d(values, [count, 1, d / 2]);
};
const linear = (x, w) => tf.matMul(x, w, false, true);
const rmsNorm = (x, gain) => tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), 1, true), epsilon))), gain);

/** Logits of the last token, on from what `cache` holds, which takes the new tokens. */
function forward(tokens, cache) {
  const T = tokens.length;
  const start = cache.length;
  const [cos, sin] = [tf.cos(angles(start, T)), tf.sin(angles(start, T))];
  const rotate = (x) => {
    const [a, b] = tf.split(x, 2, 2);
    return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))], 2);
  };
  const ahead = tf.greater(tf.range(0, start + T).reshape([1, start + T]), tf.range(start, start + T).reshape([T, 1]));
  const mask = tf.mul(tf.cast(ahead, 'float32'), -1e30);
  let x = tf.gatherND(embedding, tf.tensor2d(tokens, [T, 1], 'int32'));
  blocks.forEach((w, layer) => {
    const y = rmsNorm(x, w.norm1);
    const headed = (m, heads) => tf.reshape(linear(y, m), [T, heads, d]);
    const append = (kind, fresh) => {
      const before = cache.layers[layer]?.[kind];
      const all = tf.keep(before ? tf.concat([before, fresh], 1) : tf.clone(fresh));
      before?.dispose();
      return all;
    };
    const k = append('k', tf.transpose(rotate(headed(w.k, K)), [1, 0, 2]));
    const v = append('v', tf.transpose(headed(w.v, K), [1, 0, 2]));
    cache.layers[layer] = { k, v };
    const q = tf.transpose(tf.reshape(rotate(headed(w.q, H)), [T, K, H / K, d]), [1, 2, 0, 3]);
    let scores = tf.mul(tf.matMul(tf.reshape(q, [K, (H / K) * T, d]), k, false, true), d ** -0.5);
    if (T > 1) scores = tf.add(tf.reshape(scores, [H, T, start + T]), mask);
    const shares = tf.reshape(tf.softmax(scores), [K, (H / K) * T, start + T]);
    const mixed = tf.transpose(tf.reshape(tf.matMul(shares, v), [K, H / K, T, d]), [2, 0, 1, 3]);
    x = tf.add(linear(tf.reshape(mixed, [T, H * d]), w.o), x);
    const z = rmsNorm(x, w.norm2);
    const gate = linear(z, w.gate);
    x = tf.add(linear(tf.mul(tf.mul(gate, tf.sigmoid(gate)), linear(z, w.up)), w.down), x);
  });
  cache.length += T;
  return linear(rmsNorm(tf.slice(x, [T - 1, 0], [1, -1]), finalNorm), embedding);
}

const random = (count) => Int32Array.from({ length: count }, () => Math.floor(Math.random() * config.vocab_size));
const run = (tokens, cache) => tf.tidy(() => forward(tokens, cache).dataSync());

/** Tokens a second. */
function measure(kind, count, depth) {
  const cache = { length: 0, layers: [] };
  if (depth) run(random(depth), cache);
  const steps = kind === 'prefill' ? [random(count)] : Array.from({ length: count }, () => random(1));
  const start = performance.now();
  for (const step of steps) run(step, cache);
  const seconds = (performance.now() - start) / 1000;
  tf.dispose(cache.layers);
  return count / seconds;
}

function check(count) {
  const cache = { length: 0, layers: [] };
  const logits = run(
    Int32Array.from({ length: Number(count) }, (_, i) => 1000 + i),
    cache,
  );
  tf.dispose(cache.layers);
  const token = logits.indexOf(logits.reduce((most, each) => Math.max(most, each), -Infinity));
  return { token, logit: logits[token] };
}

const test = (kind) => (count, depth) => measure(kind, Number(count), Number(depth));
await serve(
  { name: 'bare TensorFlow.js', version: tf.version_core, threads },
  { prefill: test('prefill'), decode: test('decode'), check },
);
