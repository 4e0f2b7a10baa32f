/**
 * The models that both checkouts run on: small, random, the same in every run, and written here without either
 * checkout's code. What a checkpoint holds after `drop` or `quantize` is made by the base's command.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Of the tokenizer in test/fixtures/tokenizer. */
const vocabulary = 320;

const llama = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: vocabulary,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 5,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  rope_scaling: null,
  hidden_act: 'silu',
  tie_word_embeddings: false,
  attention_bias: false,
  mlp_bias: false,
  bos_token_id: 1,
  eos_token_id: 2,
};
/** As transformers 5 writes it. */
const { rope_theta: _theta, rope_scaling: _scaling, ...newer } = llama;
const mistral = {
  ...newer,
  architectures: ['MistralForCausalLM'],
  model_type: 'mistral',
  head_dim: 32,
  sliding_window: 20,
  rope_parameters: { rope_type: 'linear', rope_theta: 10000, factor: 2 },
};
const mixtral = {
  ...llama,
  architectures: ['MixtralForCausalLM'],
  model_type: 'mixtral',
  num_hidden_layers: 4,
  num_local_experts: 4,
  num_experts_per_tok: 2,
  sliding_window: null,
};
const { rope_theta: _theta2, rope_scaling: _scaling2, ...newerMixtral } = mixtral;

/**
 * `seed` draws the weights, `dtype` is what they are stored in. `memory` holds a layer but not all weights, so that
 * layers are streamed. `made`: arguments of the base's command that makes the model of the random one, which then
 * stands beside it as NAME-whole.
 */
export const models = [
  { name: 'llama', seed: 101, memory: '160.6MB', dtype: 'F32', config: llama },
  {
    name: 'biased',
    seed: 102,
    memory: '160.45MB',
    dtype: 'F16',
    config: {
      ...llama,
      tie_word_embeddings: true,
      attention_bias: true,
      mlp_bias: true,
      rope_scaling: {
        rope_type: 'llama3',
        factor: 8,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 32,
      },
    },
  },
  { name: 'mistral', seed: 103, memory: '160.6MB', dtype: 'BF16', config: mistral },
  { name: 'mixtral', seed: 104, memory: '161MB', dtype: 'F32', config: mixtral },
  {
    name: 'mixtral-fused',
    seed: 105,
    memory: '160.7MB',
    dtype: 'BF16',
    fused: true,
    config: { ...newerMixtral, rope_parameters: { rope_type: 'default', rope_theta: 1000000 } },
  },
  {
    name: 'sharded',
    seed: 106,
    memory: '160.45MB',
    dtype: 'BF16',
    shards: 3,
    config: {
      ...llama,
      rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32 },
    },
  },
  {
    name: 'dropped',
    seed: 107,
    memory: '160.6MB',
    dtype: 'F32',
    config: { ...llama, num_hidden_layers: 6 },
    made: ['drop', '--drop-attn', '1,4', '--drop-mlp', '3,4'],
  },
  {
    name: 'quantized',
    seed: 108,
    memory: '160.4MB',
    dtype: 'F32',
    config: llama,
    made: ['quantize', '--method', 'rtn', '--format', 'gptq', '--group-size', '32'],
  },
  {
    name: 'mixtral-int4',
    seed: 109,
    memory: '160.5MB',
    dtype: 'F32',
    config: mixtral,
    made: ['quantize', '--method', 'rtn', '--group-size', '32'],
  },
];

/** Writes the random folder of a model; `tokenizer` is the folder whose tokenizer goes along. */
export function writeRandomModel(folder, { seed, dtype, config, fused = false, shards = 1 }, tokenizer) {
  mkdirSync(folder, { recursive: true });
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(join(tokenizer, name), join(folder, name));
  const names = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };
  const written = { ...config, [config.rope_parameters ? 'dtype' : 'torch_dtype']: names[dtype] };
  writeFileSync(join(folder, 'config.json'), `${JSON.stringify(written, null, 2)}\n`);
  const normal = normalNumbers(seed);
  const tensors = shapesOf(config, fused).map(([name, shape]) => ({
    name,
    dtype,
    shape,
    bytes: encode[dtype](values(normal, name, shape)),
  }));
  if (shards === 1) return writeFileSync(join(folder, 'model.safetensors'), safetensors(tensors));
  const weightMap = {};
  for (let shard = 0; shard < shards; shard++) {
    const file = `model-0000${shard + 1}-of-0000${shards}.safetensors`;
    const own = tensors.filter((_, i) => Math.floor((i * shards) / tensors.length) === shard);
    writeFileSync(join(folder, file), safetensors(own));
    for (const { name } of own) weightMap[name] = file;
  }
  const size = tensors.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const index = { metadata: { total_size: size }, weight_map: weightMap };
  writeFileSync(join(folder, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`);
}

/** Every tensor of the checkpoint: its name and shape. */
function shapesOf(c, fused) {
  const [D, I, H, K] = [c.hidden_size, c.intermediate_size, c.num_attention_heads, c.num_key_value_heads];
  const d = c.head_dim ?? D / H;
  const linear = (name, out, width, bias) => [
    [`${name}.weight`, [out, width]],
    ...(bias ? [[`${name}.bias`, [out]]] : []),
  ];
  const experts = (name, E) =>
    fused
      ? [
          [`${name}.mlp.gate.weight`, [E, D]],
          [`${name}.mlp.experts.gate_up_proj`, [E, 2 * I, D]],
          [`${name}.mlp.experts.down_proj`, [E, D, I]],
        ]
      : [
          [`${name}.block_sparse_moe.gate.weight`, [E, D]],
          ...Array.from({ length: E }, (_, e) => [
            [`${name}.block_sparse_moe.experts.${e}.w1.weight`, [I, D]],
            [`${name}.block_sparse_moe.experts.${e}.w2.weight`, [D, I]],
            [`${name}.block_sparse_moe.experts.${e}.w3.weight`, [I, D]],
          ]).flat(),
        ];
  const gated = (name) => [
    ...linear(`${name}.mlp.gate_proj`, I, D, c.mlp_bias),
    ...linear(`${name}.mlp.up_proj`, I, D, c.mlp_bias),
    ...linear(`${name}.mlp.down_proj`, D, I, c.mlp_bias),
  ];
  const layer = (name) => [
    [`${name}.input_layernorm.weight`, [D]],
    ...linear(`${name}.self_attn.q_proj`, H * d, D, c.attention_bias),
    ...linear(`${name}.self_attn.k_proj`, K * d, D, c.attention_bias),
    ...linear(`${name}.self_attn.v_proj`, K * d, D, c.attention_bias),
    ...linear(`${name}.self_attn.o_proj`, D, H * d, c.attention_bias),
    [`${name}.post_attention_layernorm.weight`, [D]],
    ...(c.num_local_experts ? experts(name, c.num_local_experts) : gated(name)),
  ];
  return [
    ['model.embed_tokens.weight', [c.vocab_size, D]],
    ...Array.from({ length: c.num_hidden_layers }, (_, i) => layer(`model.layers.${i}`)).flat(),
    ['model.norm.weight', [D]],
    ...(c.tie_word_embeddings ? [] : [['lm_head.weight', [c.vocab_size, D]]]),
  ];
}

/** Matrices of deviation 1 / sqrt(in); norms around 1 and biases around 0, so that each matters. */
function values(normal, name, shape) {
  const count = shape.reduce((a, b) => a * b, 1);
  const spread = shape.length === 1 ? 0.1 : 1 / Math.sqrt(shape.at(-1));
  const middle = name.endsWith('norm.weight') ? 1 : 0;
  return Float32Array.from({ length: count }, () => middle + spread * normal());
}

/** Normal numbers: mulberry32, and Box and Muller's method. */
function normalNumbers(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

const halves = (values, half) => {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => bytes.writeUInt16LE(half(value), 2 * i));
  return bytes;
};

const floats = new Float32Array(1);
const words = new Uint32Array(floats.buffer);

const encode = {
  F32: ({ buffer }) => Buffer.from(buffer),
  /** To the nearest, ties to even. */
  BF16: (values) =>
    halves(values, (value) => {
      floats[0] = value;
      return (words[0] + 0x7fff + ((words[0] >>> 16) & 1)) >>> 16;
    }),
  /** Cut off; below the smallest normal number, zero. */
  F16: (values) =>
    halves(values, (value) => {
      floats[0] = value;
      const exponent = ((words[0] >>> 23) & 0xff) - 112;
      return ((words[0] >>> 16) & 0x8000) | (exponent < 1 ? 0 : (exponent << 10) | ((words[0] >>> 13) & 0x3ff));
    }),
};

function safetensors(tensors) {
  let at = 0;
  const header = { __metadata__: { format: 'pt' } };
  for (const { name, dtype, shape, bytes } of tensors)
    header[name] = { dtype, shape, data_offsets: [at, (at += bytes.length)] };
  const json = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  head.writeBigUInt64LE(BigInt(head.length - 8));
  json.copy(head, 8);
  return Buffer.concat([head, ...tensors.map(({ bytes }) => bytes)]);
}
