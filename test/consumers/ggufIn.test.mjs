/**
 * Files that llama.cpp's own quantizer makes compute here what they compute there: the whole next-token distribution at
 * every position. Floats: within 2e-3, the cache of llama.cpp being float32. Quantized: within 2e-2, since llama.cpp
 * quantizes activations to 8 bits. Texts are cut into the same tokens by every pre-tokenizer that is known.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openLlama, probabilities } from './nextTokens.mjs';
import {
  allLogits,
  createEngine,
  exportModel,
  loadModel,
  namedSplits,
  openModel,
  picker,
  softmax,
  splitJson,
  splitName,
  vocabSize,
  writeRandomModel,
} from './randomModels.mjs';

let llama, engine, folder;
before(async () => {
  llama = await openLlama();
  engine = await createEngine('wasm');
  folder = await mkdtemp(join(tmpdir(), 'llm-drop-gguf-in-'));
});
after(async () => {
  engine.dispose();
  await llama.dispose();
  await rm(folder, { recursive: true });
});

/** llama.cpp's library, which the package of the addon brings along. */
async function libraries() {
  const bundle = fileURLToPath(new URL('node_modules/@node-llama-cpp/linux-x64/bins/linux-x64', import.meta.url));
  const name = (await readdir(bundle)).find((file) => /^libllama\.(v[\d.]+\.)?so/.test(file));
  return { bundle, llama: join(bundle, name) };
}

/** llama.cpp's numbers of file types. */
const fileTypes = {
  F16: 1,
  BF16: 32,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 8,
  Q5_1: 9,
  Q8_0: 7,
  Q2_K: 10,
  Q3_K_M: 12,
  Q4_K_M: 15,
  Q5_K_M: 17,
  Q6_K: 18,
  IQ4_NL: 25,
};
const floats = ['F16', 'BF16'];

async function quantized(from, type) {
  const out = from.replace('.gguf', `-${type}.gguf`);
  const { bundle, llama: library } = await libraries();
  const script = fileURLToPath(new URL('quantize.py', import.meta.url));
  await promisify(execFile)('python3', [script, library, String(fileTypes[type]), from, out], {
    env: { ...process.env, LD_LIBRARY_PATH: bundle },
  });
  return out;
}

const mixture = { numLocalExperts: 4, numExpertsPerTok: 2 };

/** Of every architecture a model, by what is its own; rows have multiples of 256 values, as K-quants need. */
const shapes = {
  llama: { attentionBias: true, tieWordEmbeddings: true },
  deci: { modelType: 'llama', drops: { attention: [1], mlp: [2] } },
  qwen2: {},
  qwen3: { drops: { attention: [0], mlp: [] } },
  gemma2: { tieWordEmbeddings: true, slidingWindow: 5, familyKeys: { query_pre_attn_scalar: 64 } },
  gemma3: {
    modelType: 'gemma3_text',
    tieWordEmbeddings: true,
    slidingWindow: 5,
    familyKeys: { query_pre_attn_scalar: 64 },
  },
  phi3: {},
  olmo2: {},
  smollm3: { numHiddenLayers: 4 },
  granite: {
    familyKeys: { embedding_multiplier: 6, attention_multiplier: 0.2, residual_multiplier: 0.3, logits_scaling: 1.5 },
  },
  baichuan: {
    numHiddenLayers: 40,
    numKeyValueHeads: 4,
    familyKeys: { max_position_embeddings: null, model_max_length: 128 },
  },
  mixtral: { ...mixture, drops: { attention: [], mlp: [1] } },
  qwen2moe: {
    modelType: 'qwen2_moe',
    ...mixture,
    familyKeys: { moe_intermediate_size: 256, shared_expert_intermediate_size: 256 },
  },
  qwen3moe: { modelType: 'qwen3_moe', ...mixture, familyKeys: { moe_intermediate_size: 256, norm_topk_prob: true } },
  deepseek: {
    ...mixture,
    numKeyValueHeads: 4,
    familyKeys: {
      moe_intermediate_size: 256,
      n_shared_experts: 2,
      first_k_dense_replace: 1,
      routed_scaling_factor: 1.7,
    },
  },
};

async function source(name) {
  // Of a model whose name has `phi3` in it, llama.cpp wants tokens of certain names.
  const from = join(folder, name.replace('phi3', 'fused'));
  const path = `${from}.gguf`;
  if (existsSync(path)) return path;
  const { drops, ...shape } = shapes[name];
  const config = {
    modelType: name,
    vocabSize,
    hiddenSize: 256,
    intermediateSize: 512,
    numHiddenLayers: 3,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
    headDim: 64,
    maxPositionEmbeddings: 128,
    ...shape,
  };
  await writeRandomModel(from, config, 5);
  await exportModel(from, { to: 'gguf', type: 'f32', out: path, engine, drops });
  return path;
}

async function compare(name, type) {
  const path = await quantized(await source(name), type);
  const pick = picker(7);
  const tokens = Array.from({ length: 12 }, () => pick.int(vocabSize));
  const theirs = await probabilities(llama, path, tokens, vocabSize, 'F32');
  const model = await loadModel(path, { engine });
  const { drops = { attention: [], mlp: [] } } = shapes[name];
  assert.deepEqual([model.config.dropAttention, model.config.dropMlp], [drops.attention, drops.mlp]);
  const logits = await allLogits(model, tokens);
  const integersOf = (name) => (model.source.int4(name) ? 'int4' : model.source.int8?.(name)?.dtype);
  const held = new Set(model.source.tensorNames().map((name) => integersOf(name) ?? model.source.source(name).dtype));
  await model.close();
  let worst = 0;
  for (const [t, row] of theirs.entries())
    for (const [id, p] of softmax(logits.subarray(t * vocabSize, (t + 1) * vocabSize)).entries())
      worst = Math.max(worst, Math.abs(p - row[id]));
  console.log(`${worst.toExponential(1)} ${name} ${type} (held as ${[...held].join(', ')})`);
  assert.ok(worst <= (floats.includes(type) ? 2e-3 : 2e-2), `${name} ${type}: off by ${worst}`);
}

describe("files of llama.cpp's quantizer", () => {
  for (const name of Object.keys(shapes))
    for (const type of Object.keys(fileTypes)) it(`${name} ${type}`, () => compare(name, type));
});

/** How far llama.cpp's probabilities of a file's export are from those of the file. */
async function comparedExport(name, type) {
  const path = await quantized(await source(name), type);
  const out = path.replace('.gguf', '-again.gguf');
  await exportModel(path, { to: 'gguf', out, engine, overwrite: true });
  const pick = picker(8);
  const tokens = Array.from({ length: 12 }, () => pick.int(vocabSize));
  const [first, again] = [path, out].map((file) => probabilities(llama, file, tokens, vocabSize, 'F32'));
  const [wanted, found] = [(await first).flat(), (await again).flat()];
  return wanted.reduce((most, p, i) => Math.max(most, Math.abs(p - found[i])), 0);
}

describe('exports of such files compute the same in llama.cpp', () => {
  for (const name of ['llama', 'deci', 'phi3', 'mixtral'])
    for (const type of ['Q5_0', 'Q8_0'])
      it(`${name} ${type}`, async () => {
        const off = await comparedExport(name, type);
        console.log(`${off.toExponential(1)} ${name} ${type}`);
        // Beside Q5_0 heads are Q6_K, which become BF16: llama.cpp multiplies these without rounding activations.
        assert.ok(off <= (type === 'Q8_0' ? 0 : 5e-3), `off by ${off}`);
      });
});

const texts = [
  "It's 12345 o'clock; WE'LL see what they've done!",
  '  two spaces,\n\nnewlines\r\n\tand a tab   \n ',
  'Ünïcödé, 漢字 ひらがな 한국어 العربية and 🙂 emoji',
  'x = {"a": [1, 2.50], "b": null} // code(); snake_case camelCase HTTPServer',
  '1,000,000.00 € ½ ² ٣ <=> ^~| «q» — end  ',
  '',
];

/** GPT-2's alphabet of bytes. */
const letters = (() => {
  const plain = Array.from({ length: 256 }, (_, b) => b).filter((b) => (b > 32 && b < 127) || (b > 160 && b !== 173));
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(plain.includes(b) ? b : next++));
})();

/** Merges of neighbours anywhere in the texts, so that tokens show where texts were cut. */
function merges(count) {
  const lines = texts.map((text) => Array.from(Buffer.from(text), (byte) => letters[byte]));
  const found = [];
  for (let i = 0; i < count; i++) {
    const counts = new Map();
    for (const line of lines)
      for (let k = 1; k < line.length; k++) {
        const pair = `${line[k - 1]} ${line[k]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    const [pair] = [...counts].reduce((best, one) => (one[1] > best[1] ? one : best), [undefined, 1]);
    if (!pair) break;
    const [left, right] = pair.split(' ');
    found.push([left, right]);
    for (const [n, line] of lines.entries()) {
      const joined = [];
      for (const piece of line)
        if (piece === right && joined.at(-1) === left) joined[joined.length - 1] += piece;
        else joined.push(piece);
      lines[n] = joined;
    }
  }
  return found;
}

/** Of names that cut alike the first, which is what an export writes. */
const distinct = Object.keys(namedSplits).filter((name) => splitName(splitJson(namedSplits[name])) === name);

describe('pre-tokenizers', () => {
  const pairs = merges(350);
  const tokens = [...new Set([...letters, ...pairs.map((pair) => pair.join('')), '<s>', '</s>'])];
  for (const name of distinct)
    it(name, async () => {
      const from = join(folder, `words-${name}`);
      const config = { modelType: 'llama', vocabSize: tokens.length, hiddenSize: 32, intermediateSize: 32 };
      await writeRandomModel(from, { ...config, numHiddenLayers: 1, numAttentionHeads: 2 }, 1);
      const { ignoresMerges: ignore_merges = false } = namedSplits[name];
      const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
      const special = (content) => ({ id: vocab[content], content, special: true, normalized: false });
      const json = {
        added_tokens: ['<s>', '</s>'].map(special),
        normalizer: null,
        pre_tokenizer: splitJson(namedSplits[name]),
        post_processor: null,
        decoder: { type: 'ByteLevel' },
        model: { type: 'BPE', ignore_merges, vocab, merges: pairs },
      };
      await writeFile(join(from, 'tokenizer.json'), JSON.stringify(json));
      const names = { bos_token: '<s>', eos_token: '</s>' };
      await writeFile(join(from, 'tokenizer_config.json'), JSON.stringify(names));
      const out = `${from}.gguf`;
      await exportModel(from, { to: 'gguf', type: 'f32', out, engine });
      const { source } = await openModel(out);
      assert.equal((await source.tokenizerFiles()).path, out);
      const ours = await source.tokenizer();
      await source.close();
      const model = await llama.loadModel({ modelPath: out, gpuLayers: 0 });
      const cut = texts.map((text) => [ours.encode(text), Array.from(model.tokenize(text))]);
      await model.dispose();
      for (const [i, [found, wanted]] of cut.entries()) assert.deepEqual(found, wanted, JSON.stringify(texts[i]));
    });
});
