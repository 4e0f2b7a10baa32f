// Models to measure: synthetic ones of a real shape, as a Hugging Face folder and as GGUF files made from that folder.
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decode, toBfloat } from './halfFloat.mjs';
import { q4_0 } from './int4.mjs';

const modelFolder = fileURLToPath(new URL('../models', import.meta.url));

export const shapes = {
  /** SmolLM2-135M */
  '135m': { hidden: 576, layers: 30, heads: 9, keyValueHeads: 3, inner: 1536, vocabulary: 49152, dtype: 'F32' },
  /** As Llama 3.2 1B, with a vocabulary of 32000. */
  '1b': { hidden: 2048, layers: 16, heads: 32, keyValueHeads: 8, inner: 8192, vocabulary: 32000, dtype: 'BF16' },
};

const dtypes = { F32: { name: 'float32', bytes: 4 }, BF16: { name: 'bfloat16', bytes: 2 } };

/** The folder of a synthetic model, made when it is not there. */
export function syntheticFolder(name) {
  const folder = join(modelFolder, name);
  if (existsSync(join(folder, 'config.json'))) return folder;
  const shape = shapes[name];
  if (!shape) throw new Error(`there is no shape '${name}': choose one of ${Object.keys(shapes).join(', ')}`);
  mkdirSync(folder, { recursive: true });
  writeSafetensors(join(folder, 'model.safetensors'), tensorsOf(shape), shape.dtype);
  writeFileSync(join(folder, 'config.json'), `${JSON.stringify(configOf(shape), null, 2)}\n`);
  return folder;
}

const configOf = (s) => ({
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: s.hidden,
  intermediate_size: s.inner,
  num_hidden_layers: s.layers,
  num_attention_heads: s.heads,
  num_key_value_heads: s.keyValueHeads,
  head_dim: s.hidden / s.heads,
  vocab_size: s.vocabulary,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
  hidden_act: 'silu',
  bos_token_id: 1,
  eos_token_id: 2,
  torch_dtype: dtypes[s.dtype].name,
});

function tensorsOf(s) {
  const kv = (s.keyValueHeads * s.hidden) / s.heads;
  const tensors = [['model.embed_tokens.weight', [s.vocabulary, s.hidden]]];
  for (let layer = 0; layer < s.layers; layer++) {
    const add = (name, ...shape) => tensors.push([`model.layers.${layer}.${name}.weight`, shape]);
    add('input_layernorm', s.hidden);
    add('self_attn.q_proj', s.hidden, s.hidden);
    add('self_attn.k_proj', kv, s.hidden);
    add('self_attn.v_proj', kv, s.hidden);
    add('self_attn.o_proj', s.hidden, s.hidden);
    add('post_attention_layernorm', s.hidden);
    add('mlp.gate_proj', s.inner, s.hidden);
    add('mlp.up_proj', s.inner, s.hidden);
    add('mlp.down_proj', s.hidden, s.inner);
  }
  return [...tensors, ['model.norm.weight', [s.hidden]]];
}

const sizeOf = (shape) => shape.reduce((a, b) => a * b, 1);

/** Uniform weights of deviation 1 / sqrt(in), the same in every run; gains of 1. */
function writeSafetensors(path, tensors, dtype) {
  const { bytes } = dtypes[dtype];
  let end = 0;
  const header = { __metadata__: { format: 'pt' } };
  for (const [name, shape] of tensors)
    header[name] = { dtype, shape, data_offsets: [end, (end += sizeOf(shape) * bytes)] };
  const json = Buffer.from(JSON.stringify(header));
  const start = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  start.writeBigUInt64LE(BigInt(start.length - 8));
  json.copy(start, 8);
  writeWhole(path, (write) => {
    write(start);
    let state = 1;
    for (const [, shape] of tensors) {
      const values = new Float32Array(sizeOf(shape)).fill(1);
      const spread = Math.sqrt(12 / shape.at(-1)) / 2 ** 32;
      if (shape.length === 2)
        for (let i = 0; i < values.length; i++) {
          state ^= state << 13; // xorshift32
          state ^= state >>> 17;
          state ^= state << 5;
          values[i] = state * spread;
        }
      write(dtype === 'F32' ? bytesOf(values) : bytesOf(halves(values)));
    }
  });
}

/** A loop, since `Uint16Array.from` takes minutes for a billion weights. */
function halves(values) {
  const result = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) result[i] = toBfloat(values[i]);
  return result;
}

const bytesOf = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength);

/** A file appears under its name when it is complete. */
function writeWhole(path, fill) {
  const partial = `${path}.partial-${process.pid}`;
  const file = openSync(partial, 'w');
  fill((bytes) => {
    for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
  });
  closeSync(file);
  renameSync(partial, path);
}

// GGUF

const ggmlTypes = {
  f32: { id: 0, fileType: 0, bytes: (n) => 4 * n },
  q4_0: { id: 2, fileType: 2, bytes: (n) => (n / 32) * 18 },
};

/** The GGUF file of a Hugging Face folder's Llama in one type, made when it is not there. All matrices have it, the tied head too. */
export function ggufOf(folder, type) {
  const path = join(modelFolder, `${basename(folder)}-${type}.gguf`);
  if (!existsSync(path)) {
    mkdirSync(modelFolder, { recursive: true });
    writeGguf(path, folder, type);
  }
  return path;
}

function writeGguf(path, folder, type) {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  if (config.model_type !== 'llama')
    throw new Error(`${folder}: only Llama models are converted, not ${config.model_type}`);
  const source = openSafetensors(join(folder, 'model.safetensors'));
  const tensors = ggufTensors(config, type).filter(({ from }) => source.has(from));
  const parts = [header(config, type, tensors)];
  parts.push(Buffer.alloc(-parts[0].length & 31));
  writeWhole(path, (write) => {
    for (const part of parts) write(part);
    for (const { from, size, as, heads } of tensors) {
      let values = source.read(from);
      if (heads) values = interleaveHalves(values, heads, size[0]);
      const bytes = as === 'q4_0' ? q4_0(values) : bytesOf(values);
      write(bytes);
      write(Buffer.alloc(-bytes.length & 31));
    }
  });
  source.close();
}

/** In GGUF's order of sizes: the innermost first. */
function ggufTensors(c, type) {
  const [D, I, V] = [c.hidden_size, c.intermediate_size, c.vocab_size];
  const head = c.head_dim ?? D / c.num_attention_heads;
  const [H, K] = [c.num_attention_heads, c.num_key_value_heads ?? c.num_attention_heads];
  const tensors = [
    { name: 'token_embd.weight', from: 'model.embed_tokens.weight', size: [D, V], as: type },
    { name: 'output_norm.weight', from: 'model.norm.weight', size: [D], as: 'f32' },
    ...(c.tie_word_embeddings ? [] : [{ name: 'output.weight', from: 'lm_head.weight', size: [D, V], as: type }]),
  ];
  for (let layer = 0; layer < c.num_hidden_layers; layer++) {
    const add = (name, from, size, heads) =>
      tensors.push({
        name: `blk.${layer}.${name}.weight`,
        from: `model.layers.${layer}.${from}.weight`,
        size,
        as: size.length === 1 ? 'f32' : type,
        heads,
      });
    add('attn_norm', 'input_layernorm', [D]);
    add('attn_q', 'self_attn.q_proj', [D, H * head], H);
    add('attn_k', 'self_attn.k_proj', [D, K * head], K);
    add('attn_v', 'self_attn.v_proj', [D, K * head]);
    add('attn_output', 'self_attn.o_proj', [H * head, D]);
    add('ffn_norm', 'post_attention_layernorm', [D]);
    add('ffn_gate', 'mlp.gate_proj', [D, I]);
    add('ffn_up', 'mlp.up_proj', [D, I]);
    add('ffn_down', 'mlp.down_proj', [I, D]);
  }
  return tensors;
}

/** GGUF's Llama rotates neighbours where Hugging Face's rotates halves: rows of each head, one of either half in turn. */
function interleaveHalves(values, heads, width) {
  const rows = values.length / width;
  const half = rows / heads / 2;
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const [head, within] = [Math.floor(row / (2 * half)), row % (2 * half)];
    const from = head * 2 * half + (within % 2) * half + (within >> 1);
    result.set(values.subarray(from * width, (from + 1) * width), row * width);
  }
  return result;
}

/** Magic, metadata with a vocabulary of made-up words, and the list of tensors. */
function header(c, type, tensors) {
  const parts = [];
  const u32 = (v) => parts.push(Buffer.from(Uint32Array.of(v).buffer));
  const u64 = (v) => parts.push(Buffer.from(BigUint64Array.of(BigInt(v)).buffer));
  const f32 = (v) => parts.push(Buffer.from(Float32Array.of(v).buffer));
  const i32 = (v) => parts.push(Buffer.from(Int32Array.of(v).buffer));
  const text = (v) => (u64(Buffer.byteLength(v)), parts.push(Buffer.from(v)));
  const kinds = {
    u32: [4, u32],
    i32: [5, i32],
    f32: [6, f32],
    bool: [7, (v) => parts.push(Buffer.of(v ? 1 : 0))],
    text: [8, text],
  };
  const value = (kind, v) => {
    const [id, write] = kinds[kind];
    if (!Array.isArray(v)) return (u32(id), write(v));
    u32(9);
    u32(id);
    u64(v.length);
    v.forEach(write);
  };
  const words = vocabulary(c.vocab_size);
  const head = c.head_dim ?? c.hidden_size / c.num_attention_heads;
  const facts = [
    ['general.architecture', 'text', 'llama'],
    ['general.name', 'text', 'llm-drop bench'],
    ['general.file_type', 'u32', ggmlTypes[type].fileType],
    ['general.quantization_version', 'u32', 2],
    ['llama.context_length', 'u32', c.max_position_embeddings],
    ['llama.embedding_length', 'u32', c.hidden_size],
    ['llama.block_count', 'u32', c.num_hidden_layers],
    ['llama.feed_forward_length', 'u32', c.intermediate_size],
    ['llama.rope.dimension_count', 'u32', head],
    ['llama.rope.freq_base', 'f32', c.rope_theta ?? c.rope_parameters?.rope_theta ?? 10000],
    ['llama.attention.head_count', 'u32', c.num_attention_heads],
    ['llama.attention.head_count_kv', 'u32', c.num_key_value_heads ?? c.num_attention_heads],
    ['llama.attention.key_length', 'u32', head],
    ['llama.attention.value_length', 'u32', head],
    ['llama.attention.layer_norm_rms_epsilon', 'f32', c.rms_norm_eps],
    ['llama.vocab_size', 'u32', c.vocab_size],
    ['tokenizer.ggml.model', 'text', 'llama'],
    ['tokenizer.ggml.tokens', 'text', words.map(({ text }) => text)],
    ['tokenizer.ggml.scores', 'f32', words.map((_, i) => -i)],
    ['tokenizer.ggml.token_type', 'i32', words.map(({ kind }) => kind)],
    ['tokenizer.ggml.bos_token_id', 'u32', 1],
    ['tokenizer.ggml.eos_token_id', 'u32', 2],
    ['tokenizer.ggml.unknown_token_id', 'u32', 0],
  ];
  parts.push(Buffer.from('GGUF'));
  u32(3);
  u64(tensors.length);
  u64(facts.length);
  for (const [key, kind, v] of facts) {
    text(key);
    value(kind, v);
  }
  let offset = 0;
  for (const { name, size, as } of tensors) {
    text(name);
    u32(size.length);
    size.forEach(u64);
    u32(ggmlTypes[as].id);
    u64(offset);
    offset += Math.ceil(ggmlTypes[as].bytes(sizeOf(size)) / 32) * 32;
  }
  return Buffer.concat(parts);
}

function vocabulary(size) {
  const special = ['<unk>', '<s>', '</s>'].map((text, i) => ({ text, kind: i === 0 ? 2 : 3 }));
  const bytes = Array.from({ length: 256 }, (_, i) => ({
    text: `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`,
    kind: 6,
  }));
  const words = Array.from({ length: size - special.length - bytes.length }, (_, i) => ({
    text: `\u2581w${i.toString(36)}`,
    kind: 1,
  }));
  return [...special, ...bytes, ...words];
}

/** Tensors of one safetensors file, read as float32. */
function openSafetensors(path) {
  const file = openSync(path, 'r');
  const read = (at, length) => {
    const bytes = Buffer.alloc(length);
    for (let done = 0; done < length;) {
      const count = readSync(file, bytes, done, Math.min(length - done, 2 ** 30), at + done);
      if (count === 0) throw new Error(`${path} ends early`);
      done += count;
    }
    return bytes;
  };
  const length = Number(read(0, 8).readBigUInt64LE());
  const tensors = JSON.parse(read(8, length).toString());
  return {
    has: (name) => name in tensors,
    read: (name) => {
      const {
        dtype,
        data_offsets: [from, to],
      } = tensors[name];
      return decode(read(8 + length + from, to - from), dtype);
    },
    close: () => closeSync(file),
  };
}
