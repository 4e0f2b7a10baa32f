/**
 * Writes a bfloat16 Llama checkpoint of random weights of any size, as fast as the disk takes it, with the tokenizer
 * of a folder beside it: to try out models that are larger than memory.
 *
 *   node tools/make_random_checkpoint.mjs --out /tmp/random-10gb --size 10GB --tokenizer models/tiny-stories
 *
 * The weights are one block of normal numbers, read from another place for each tensor and scaled by 1 / sqrt(in).
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  writeSync,
  closeSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values: o } = parseArgs({
  options: {
    out: { type: 'string' },
    size: { type: 'string', default: '1GB' },
    hidden: { type: 'string', default: '4096' },
    intermediate: { type: 'string', default: '11008' },
    heads: { type: 'string', default: '32' },
    'kv-heads': { type: 'string', default: '8' },
    'shard-size': { type: 'string', default: '2GB' },
    tokenizer: { type: 'string' },
    vocab: { type: 'string' }, // default: of the config.json beside the tokenizer
    seed: { type: 'string', default: '1' },
  },
});
if (!o.out || !o.tokenizer) throw new Error('--out DIR and --tokenizer DIR are needed');
const bytesOf = (text) => {
  const [, amount, unit] = /^([\d.]+)\s*([KMG]?)B?$/i.exec(text) ?? [];
  return Number(amount) * { '': 1, K: 1e3, M: 1e6, G: 1e9 }[unit.toUpperCase()];
};
const [D, I, H, K] = [o.hidden, o.intermediate, o.heads, o['kv-heads']].map(Number);
const d = D / H;
const beside = join(o.tokenizer, 'config.json');
const tokenizer = existsSync(beside) ? JSON.parse(readFileSync(beside, 'utf8')) : { bos_token_id: 1, eos_token_id: 2 };
const V = Number(o.vocab ?? tokenizer.vocab_size);

const layer = (i) => {
  const name = `model.layers.${i}.`;
  return [
    [`${name}input_layernorm.weight`, [D]],
    [`${name}self_attn.q_proj.weight`, [H * d, D]],
    [`${name}self_attn.k_proj.weight`, [K * d, D]],
    [`${name}self_attn.v_proj.weight`, [K * d, D]],
    [`${name}self_attn.o_proj.weight`, [D, H * d]],
    [`${name}post_attention_layernorm.weight`, [D]],
    [`${name}mlp.gate_proj.weight`, [I, D]],
    [`${name}mlp.up_proj.weight`, [I, D]],
    [`${name}mlp.down_proj.weight`, [D, I]],
  ];
};
const bytes = ([, shape]) => 2 * shape.reduce((a, b) => a * b, 1);
const total = (tensors) => tensors.reduce((sum, tensor) => sum + bytes(tensor), 0);
const ends = [
  ['model.embed_tokens.weight', [V, D]],
  ['lm_head.weight', [V, D]],
  ['model.norm.weight', [D]],
];
const layers = Math.max(1, Math.round((bytesOf(o.size) - total(ends)) / total(layer(0))));
const tensors = [...ends, ...Array.from({ length: layers }, (_, i) => layer(i)).flat()];

/** float32 to the nearest bfloat16. */
const floats = new Float32Array(1);
const words = new Uint32Array(floats.buffer);
const bfloat16 = (value) => {
  floats[0] = value;
  return (words[0] + 0x7fff + ((words[0] >>> 16) & 1)) >>> 16;
};
let state = Number(o.seed) >>> 0;
const uniform = () => {
  // mulberry32
  state = (state + 0x6d2b79f5) >>> 0;
  let x = Math.imul(state ^ (state >>> 15), state | 1);
  x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
  return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
};
const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
const block = 1 << 20; // elements
const drawn = Float32Array.from({ length: block }, normal);
const scaled = new Map();
const blockOf = (width) => {
  if (!scaled.has(width))
    scaled.set(
      width,
      Uint16Array.from(drawn, (x) => bfloat16(x / Math.sqrt(width))),
    );
  return scaled.get(width);
};

const shards = [[]];
for (const tensor of tensors) {
  if (shards.at(-1).length && total(shards.at(-1)) + bytes(tensor) > bytesOf(o['shard-size'])) shards.push([]);
  shards.at(-1).push(tensor);
}
mkdirSync(o.out, { recursive: true });
const number = (i) => String(i).padStart(5, '0');
const weightMap = {};
for (const [i, shard] of shards.entries()) {
  const name = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
  let at = 0;
  const header = { __metadata__: { format: 'pt' } };
  for (const tensor of shard) {
    header[tensor[0]] = { dtype: 'BF16', shape: tensor[1], data_offsets: [at, (at += bytes(tensor))] };
    weightMap[tensor[0]] = name;
  }
  let json = Buffer.from(JSON.stringify(header));
  json = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(join(o.out, name), 'w');
  writeSync(file, length);
  writeSync(file, json);
  for (const [tensorName, shape] of shard) writeTensor(file, tensorName, shape);
  closeSync(file);
}

function writeTensor(file, name, shape) {
  let left = shape.reduce((a, b) => a * b, 1);
  if (name.endsWith('norm.weight')) return void writeSync(file, new Uint16Array(left).fill(bfloat16(1)));
  const values = blockOf(name.includes('embed') ? 1 : shape.at(-1));
  // A prime stride: no two rows of a tensor are alike.
  let from = Math.floor(uniform() * block);
  while (left > 0) {
    const count = Math.min(left, block - from, 1_000_003);
    writeSync(file, values.subarray(from, from + count));
    left -= count;
    from = (from + count + 7919) % block;
  }
}

writeFileSync(
  join(o.out, 'model.safetensors.index.json'),
  JSON.stringify({ metadata: { total_size: total(tensors) }, weight_map: weightMap }, null, 2),
);
writeFileSync(
  join(o.out, 'config.json'),
  JSON.stringify(
    {
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      vocab_size: V,
      hidden_size: D,
      intermediate_size: I,
      num_hidden_layers: layers,
      num_attention_heads: H,
      num_key_value_heads: K,
      max_position_embeddings: 4096,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
      torch_dtype: 'bfloat16',
      bos_token_id: tokenizer.bos_token_id,
      eos_token_id: tokenizer.eos_token_id,
    },
    null,
    2,
  ),
);
for (const name of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json'])
  if (existsSync(join(o.tokenizer, name))) copyFileSync(join(o.tokenizer, name), join(o.out, name));
console.log(`${o.out}: ${layers} layers, ${(total(tensors) / 1e9).toFixed(2)} GB in ${shards.length} shards`);
