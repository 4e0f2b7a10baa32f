/** Weights that are no numbers, or too large: every command names them and writes nothing. */
import { copyFileSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFloats, type WeightDType } from '../../src/engine/index.js';
import { llmDrop, root, stories, type Outcome } from '../cli/commandLine.js';
import {
  Folders,
  asHalf,
  copyOf,
  f32,
  floatsOf,
  randomModel,
  tiny,
  tinyMixture,
  type FolderModel,
} from './modelFolder.js';
import { packedModel } from './packedModel.js';

const folders = new Folders();
const vocabulary = { vocabSize: 320 };
const models = {
  plain: await randomModel({ ...tiny, ...vocabulary }),
  mixture: await randomModel({ ...tinyMixture, ...vocabulary }),
};
const text = join(folders.root, 'stories.txt');
writeFileSync(text, stories);
const tokens = join(folders.root, 'tokens.json');
writeFileSync(tokens, JSON.stringify([[1, 5, 2, 7, 3, 9, 4, 6]]));

/** A folder with the fixtures' tokenizer. */
async function written(model: FolderModel): Promise<string> {
  const folder = await folders.write(model);
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(join(root, 'test/fixtures/tokenizer', name), join(folder, name));
  return folder;
}

const dtypes = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const satisfies Record<string, WeightDType>;

/** The same model, all of one type, with another value at a place of a tensor. */
function withValue(
  model: FolderModel,
  dtype: keyof typeof dtypes,
  tensor: string,
  at: number,
  value: number,
): FolderModel {
  const changed = copyOf(model);
  for (const [name, stored] of changed.tensors) {
    const values = floatsOf(stored);
    if (name === tensor) values[at % values.length] = value;
    changed.tensors.set(name, { dtype, shape: stored.shape, bytes: encodeFloats(values, dtypes[dtype]) });
  }
  return changed;
}

const calibration = ['--calibration', text, '--samples', '2', '--length', '32'];
const measured = [...calibration, '--held-out', '2'];

/** Command lines, each with all that it needs. */
const commands: Record<string, (model: string, out: string) => string[]> = {
  eval: (model) => ['eval', model, '--text', text, '--rows', '2', '--length', '32'],
  logits: (model, out) => ['logits', model, '--tokens', tokens, '--out', out],
  generate: (model) => ['generate', model, '--prompt', 'Once', '--max-tokens', '3'],
  score: (model, out) => ['score', model, ...calibration, '--out', out],
  'score by relative norms': (model, out) => [
    'score',
    model,
    ...calibration,
    '--metric',
    'relative-norm',
    '--out',
    out,
  ],
  'drop by scores': (model, out) => ['drop', model, ...measured, '--target', 'attention', '--count', '1', '--out', out],
  'drop by a search': (model, out) => [
    'drop',
    model,
    ...measured,
    '--search',
    'greedy-kl',
    '--target',
    'joint',
    '--count',
    '1',
    '--out',
    out,
  ],
  'drop and refit': (model, out) => [
    'drop',
    model,
    ...measured,
    '--drop-mlp',
    '1',
    '--compensate',
    'all',
    '--out',
    out,
  ],
  'drop what is named': (model, out) => ['drop', model, '--drop-attn', '1', '--out', out],
  'drop at random': (model, out) => [
    'drop',
    model,
    '--metric',
    'random',
    '--target',
    'mlp',
    '--count',
    '1',
    '--out',
    out,
  ],
  sweep: (model, out) => [
    'sweep',
    model,
    ...calibration,
    '--text',
    text,
    '--rows',
    '2',
    '--targets',
    'attention',
    '--counts',
    '1',
    '--speed-rounds',
    '1',
    '--out',
    out,
  ],
  'quantize to nearest': (model, out) => ['quantize', model, '--method', 'rtn', '--group-size', '32', '--out', out],
  'quantize by GPTQ': (model, out) => [
    'quantize',
    model,
    ...measured,
    '--method',
    'gptq',
    '--group-size',
    '32',
    '--out',
    out,
  ],
  'quantize by AWQ': (model, out) => [
    'quantize',
    model,
    ...measured,
    '--method',
    'awq',
    '--format',
    'awq',
    '--group-size',
    '32',
    '--out',
    out,
  ],
  'export a folder': (model, out) => ['export', model, '--to', 'hf', '--out', out],
  'export float16': (model, out) => ['export', model, '--to', 'hf', '--type', 'f16', '--out', out],
  'export a GGUF file': (model, out) => ['export', model, '--to', 'gguf', '--out', `${out}.gguf`],
  'export 8 bits': (model, out) => ['export', model, '--to', 'gguf', '--type', 'q8_0', '--out', `${out}.gguf`],
};

interface Ran extends Outcome {
  /** What lies where the result was to be, or beside it. */
  readonly left: readonly string[];
}

async function ran(command: string, model: FolderModel): Promise<Ran> {
  const out = folders.vacant();
  const outcome = await llmDrop([...commands[command](await written(model), out), '--threads', '1']);
  // Of a long job that ends in its midst, the progress stays, as after any other end: of a sweep, its own file.
  const left = readdirSync(folders.root).filter(
    (name) =>
      name.startsWith(basename(out)) && !name.includes('.progress') && !(command === 'sweep' && isFiniteSweep(out)),
  );
  return { ...outcome, left };
}

/** Whether a sweep's file holds no loss that is no number, which JSON writes as null. */
const isFiniteSweep = (path: string): boolean =>
  !/"(loss|perplexity|difference)": ?null/.test(readFileSync(path, 'utf8'));

/** One sentence, which says so; nothing written, nothing shown. */
function expectRefused({ code, stderr, stdout, left }: Ran, says: RegExp): void {
  expect(stderr).toMatch(says);
  const lines = stderr.trim().split('\n');
  expect(lines.filter((line) => line.startsWith('error: '))).toHaveLength(1);
  expect(stderr).not.toMatch(/unexpected|dropped module|drop_attn_list|\n +at /);
  expect({ code, stdout, left }).toEqual({ code: 1, stdout: '', left: [] });
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const places = fc.record({
  kind: fc.constantFrom<keyof typeof models>('plain', 'mixture'),
  dtype: fc.constantFrom<keyof typeof dtypes>('F32', 'F16', 'BF16'),
  tensor: fc.nat(),
  at: fc.nat(),
});
const tensorAt = (model: FolderModel, at: number): string => [...model.tensors.keys()][at % model.tensors.size];

describe('a weight that is no number', () => {
  const down = 'model.layers.2.mlp.down_proj.weight';
  it.each<[string, string, number, number]>([
    ['NaN', down, 0, NaN],
    ['infinite', down, 700, Infinity],
    ['NaN in a row of the embedding that no text uses', 'model.embed_tokens.weight', 3 * 32 + 5, NaN],
    ['NaN in a query', 'model.layers.1.self_attn.q_proj.weight', 9, NaN],
  ])('%s is named by eval, score and drop', async (_, tensor, at, value) => {
    const model = withValue(models.plain, 'F32', tensor, at, value);
    const says = new RegExp(`model\\.safetensors: tensor ${escaped(tensor)} holds ${value} at \\[\\d+, \\d+\\]`);
    for (const command of ['eval', 'score', 'drop by scores']) expectRefused(await ran(command, model), says);
  });

  it('is named by every command, whichever it is', async () => {
    await fc.assert(
      fc.asyncProperty(
        places,
        fc.constantFrom(NaN, Infinity, -Infinity),
        fc.constantFrom(...Object.keys(commands)),
        async ({ kind, dtype, ...place }, value, command) => {
          const tensor = tensorAt(models[kind], place.tensor);
          // What is dropped is not read.
          fc.pre(command !== 'drop what is named' || !/layers\.1\.(self_attn|input_layernorm)/.test(tensor));
          fc.pre(command !== 'drop at random' || !/\.mlp\.|\.block_sparse_moe\.|post_attention/.test(tensor));
          expectRefused(
            await ran(command, withValue(models[kind], dtype, tensor, place.at, value)),
            new RegExp(`model\\.safetensors: tensor ${escaped(tensor)} holds -?(NaN|Infinity) at \\[`),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each(['gptq', 'awq', 'compressed-tensors'] as const)('is named among the scales of %s', async (method) => {
    const { model } = packedModel(models.plain, method);
    const scales = [...model.tensors.keys()].find((name) => /layers\.1\..*scale/.test(name))!;
    const stored = model.tensors.get(scales)!;
    model.tensors.set(scales, { ...stored, bytes: stored.bytes.map((byte, i) => (i === 1 ? 0x7e : byte)) });
    for (const command of ['eval', 'drop what is named', 'export a folder', 'drop by scores'])
      if (command !== 'drop what is named' || !/layers\.1\.self_attn/.test(scales))
        expectRefused(await ran(command, model), new RegExp(`tensor ${escaped(scales)} holds NaN`));
  });
});

describe('a weight that is too large', () => {
  it('gives results that are finite, or is told of in one sentence', async () => {
    await fc.assert(
      fc.asyncProperty(
        places,
        fc.constantFrom(1e6, 1e20, 3e38, -3e38),
        fc.constantFrom(...Object.keys(commands)),
        async ({ kind, dtype, ...place }, value, command) => {
          fc.pre(dtype !== 'F16');
          const tensor = tensorAt(models[kind], place.tensor);
          const made = await ran(command, withValue(models[kind], dtype, tensor, place.at, value));
          // The first tokens may be fine.
          const { stdout } = command === 'generate' ? { stdout: '' } : made;
          if (made.code !== 0)
            expectRefused({ ...made, stdout }, /is not finite|are not finite|float16|float32|wide range/);
          else expect(made.stdout).not.toMatch(/\b(NaN|Infinity|null)\b.*nats/);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('of 3e38 is told of by the module that overflows', async () => {
    const model = copyOf(models.plain);
    for (const name of ['gate', 'up', 'down'].map((part) => `model.layers.1.mlp.${part}_proj.weight`)) {
      const { shape, ...stored } = model.tensors.get(name)!;
      model.tensors.set(
        name,
        f32(
          shape,
          floatsOf({ shape, ...stored }).map((value) => Math.sign(value) * 3e38),
        ),
      );
    }
    for (const command of [
      'eval',
      'logits',
      'generate',
      'score',
      'drop by scores',
      'drop by a search',
      'drop and refit',
      'quantize by GPTQ',
      'export a folder',
    ])
      expectRefused(
        await ran(command, model),
        /is not finite: the MLP of layer 1 is the first to give NaN or infinity, from weights that are finite|reaches 3/,
      );
  });

  it('of a million fits float32 and no float16', async () => {
    const tensor = 'model.layers.2.mlp.down_proj.weight';
    const model = withValue(models.plain, 'F32', tensor, 0, 1e6);
    expect((await ran('eval', model)).code).toBe(0);
    const refused = await ran('export float16', model);
    expectRefused(refused, new RegExp(`tensor ${escaped(tensor)} holds 1000000, but float16 ends at 65504`));
    expect(refused.stderr).not.toMatch(/not finite/);
    const halves = asHalf(model.tensors.get(tensor)!);
    expectRefused(
      await ran('eval', { ...model, tensors: new Map(model.tensors).set(tensor, halves) }),
      /holds Infinity/,
    );
  });
});

describe('scores whose numbers were lost', () => {
  it('as null are refused where the module was there', async () => {
    const folder = await written(models.plain);
    const scores = join(folders.root, 'scores.json');
    expect((await llmDrop(['score', folder, ...calibration, '--out', scores])).code).toBe(0);
    const { similarity, ...rest } = JSON.parse(readFileSync(scores, 'utf8')) as {
      similarity: { attention: (number | null)[]; mlp: (number | null)[] };
    };
    for (const [kind, said] of [
      ['attention', 'attention of layer 1'],
      ['mlp', 'MLP of layer 1'],
    ] as const) {
      const lost = { ...similarity, [kind]: similarity[kind].map((score, i) => (i === 1 ? null : score)) };
      writeFileSync(scores, JSON.stringify({ ...rest, similarity: lost }));
      const out = folders.vacant();
      const args = ['--importance', scores, '--target', 'attention', '--count', '1', '--out', out];
      const { code, stderr } = await llmDrop(['drop', folder, ...args]);
      expect({ code, there: existsSync(out) }).toEqual({ code: 1, there: false });
      expect(stderr).toContain(`scores.json holds null for the ${said}`);
    }
  });
});
