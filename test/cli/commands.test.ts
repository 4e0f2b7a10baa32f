/** Each command gives what the library gives. */
import { readFileSync, writeFileSync, readdirSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { DemoResult } from '../../src/cli/runDemo.js';
import { calibrationRows, splitRows } from '../../src/text/index.js';
import { SafetensorsFile, loadTokenizer, openCheckpoint } from '../../src/checkpoint/index.js';
import { scoreImportance, selectDrops, type Importance } from '../../src/drop/index.js';
import { decodeFloats } from '../../src/engine/index.js';
import { computeLogits, evaluateLoss } from '../../src/evaluate/index.js';
import { generate, loadModel, openModel, type Drops } from '../../src/models/index.js';
import { rtn, writeQuantized, type WriteQuantizedOptions } from '../../src/quant/index.js';
import { asCommands, backend, document, layers, llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const text = join(folder, 'stories.txt');
const rowOptions = ['--samples', '6', '--length', '32'];
let model: string;

beforeAll(async () => {
  model = await writeModel(join(folder, 'model'));
  writeFileSync(text, stories);
});

/** The loss that `eval` reports. */
const lossOf = async (path: string, ...more: string[]): Promise<number> =>
  (await document('eval', path, '--text', text, '--held-out', '4', '--length', '32', ...more)).loss as number;

describe('inspect', () => {
  it('counts parameters, bytes and key-value bytes', async () => {
    const facts = await document('inspect', model);
    const checkpoint = await openCheckpoint(model);
    const sizes = checkpoint.tensorNames().map((name) => checkpoint.info(name));
    await checkpoint.close();
    const parameters = sizes.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(facts).toMatchObject({
      modelType: 'llama',
      layers,
      parameters,
      bytes: 4 * parameters,
      kvBytesPerToken: layers * 2 * 8 * 4,
      drop: { attention: [], mlp: [] },
    });
    expect(facts.backend).toMatchObject({ name: backend });
  });

  it('says how weights are quantized, which every command runs', async () => {
    const out = join(folder, 'quantized');
    await using opened = await openModel(model);
    const replaced: WriteQuantizedOptions['replaced'] = (name) =>
      name.includes('_proj') ? rtn(opened.source.source(name), { groupSize: 128 }) : undefined;
    // Rows shorter than 128 have one group.
    await writeQuantized(opened, out, { format: 'compressed-tensors', groupSize: -1, symmetric: true, replaced });
    const plain = await document('inspect', model);
    expect(plain).not.toHaveProperty('quantization');
    const facts = await document('inspect', out);
    expect(facts).toMatchObject({
      parameters: plain.parameters,
      quantization: { method: 'compressed-tensors', format: 'pack-quantized', groupSizes: [-1], symmetric: true },
    });
    expect(facts.bytes).toBeLessThan(plain.bytes as number);
    const { stdout } = await llmDrop(['inspect', out, '--backend', backend]);
    expect(stdout).toMatch(/quantization +int4 by compressed-tensors \(pack-quantized\), whole rows, symmetric/);
    // Each weight is off by about a tenth: another loss, but no other model. A wrong layout would be far off.
    const [int4, float] = [await lossOf(out), await lossOf(model)];
    expect(int4).not.toBe(float);
    expect(Math.abs(int4 - float)).toBeLessThan(0.15);
  });

  it('reads no weight', async () => {
    const path = await writeModel(join(folder, 'not-finite'));
    const weights = readFileSync(join(path, 'model.safetensors'));
    weights.fill(0xff, 8 + Number(weights.readBigUInt64LE(0)));
    writeFileSync(join(path, 'model.safetensors'), weights);
    expect((await llmDrop(['eval', path, '--text', text, '--backend', backend])).stderr).toMatch(
      /^error: .*model\.safetensors: tensor .* holds NaN at \[.*\] \(is the file damaged\?\)\n$/,
    );
    expect((await document('inspect', path)).layers).toBe(layers);
  });

  it('shows people what is dropped', async () => {
    const out = join(folder, 'pictured');
    await document('drop', model, '--drop-attn', '1', '--drop-mlp', '0,3', '--config-only', '--out', out);
    writeFileSync(join(out, 'model.safetensors'), readFileSync(join(model, 'model.safetensors')));
    const { stdout } = await llmDrop(['inspect', out, '--backend', backend]);
    expect(stdout).toContain('dropped          attention = [1], mlp = [0, 3]');
    expect(stdout).toContain('attention  █·██\nMLP        ·██·\n');
  });
});

describe('score', () => {
  it('gives the scores of the library and what they came from, on stdout and in --out', async () => {
    const out = join(folder, 'importance.json');
    const result = await document('score', model, '--calibration', text, ...rowOptions, '--out', out);
    await using loaded = await loadModel(model, asCommands);
    const { rows } = await calibrationRows(await loadTokenizer(model), [text], { samples: 6, length: 32 });
    expect(result).toMatchObject({
      ...(await scoreImportance(loaded, rows)),
      model,
      modelType: 'llama',
      layers,
      calibration: [text],
      seed: null,
      drawnFrom: 6,
      backend,
    });
    expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual(result);
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('draws rows by seed', async () => {
    const scores = async (...seed: string[]): Promise<unknown> =>
      (await document('score', model, '--calibration', text, ...rowOptions, ...seed)).similarity;
    const [plain, one, again, two] = [
      await scores(),
      await scores('--seed', '1'),
      await scores('--seed', '1'),
      await scores('--seed', '2'),
    ];
    expect(again).toEqual(one);
    expect(one).not.toEqual(plain);
    expect(two).not.toEqual(one);
  });

  it('draws bars for people and notes what is missing', async () => {
    const { code, stdout, stderr } = await llmDrop([
      'score',
      model,
      '--calibration',
      text,
      '--backend',
      backend,
      '--samples',
      '9999',
      '--length',
      '999',
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {4}3 {3}\d\.\d{4} █/m);
    expect(stderr).toMatch(
      /^note: rows of 64 tokens instead of 999: the model's context is no longer; \d+ rows of 64 tokens instead of 9999/,
    );
  });
});

describe('drop', () => {
  const drop = (...argv: string[]): Promise<Record<string, unknown>> => document('drop', model, ...argv);
  const scored = ['--calibration', text, ...rowOptions, '--held-out', '4'];

  it('drops what the scores choose, and measures it on rows behind the scored ones', async () => {
    const out = join(folder, 'dropped');
    const result = await drop(...scored, '--target', 'attention', '--count', '2', '--keep', '0', '--out', out);
    const importance = (await document('score', model, '--calibration', text, ...rowOptions)) as unknown as Importance;
    const chosen: Drops = selectDrops(importance, 'attention', 2, { keep: [0] });
    expect(result).toMatchObject({ drop: chosen, keep: { mlp: [0, 1, 2, 3] }, notes: [] });
    const { rows } = await calibrationRows(await loadTokenizer(model), [text], { samples: 4, length: 32, skip: 6 });
    await using smaller = await loadModel(out, asCommands);
    expect(result.loss).toMatchObject({ rows: 4, after: (await evaluateLoss(smaller, rows)).loss });
    expect(await lossOf(out)).toBe(await lossOf(model, '--drop-attn', chosen.attention.join()));
  });

  it('takes scores from a file, and composes', async () => {
    const importance = join(folder, 'scores.json');
    await document('score', model, '--calibration', text, ...rowOptions, '--out', importance);
    const [first, second] = [join(folder, 'first'), join(folder, 'second')];
    await drop('--drop-mlp', '2', '--out', first);
    const result = await document(
      'drop',
      first,
      '--importance',
      importance,
      '--target',
      'mlp',
      '--count',
      '3',
      '--out',
      second,
    );
    expect(result).toMatchObject({
      drop: { attention: [], mlp: [0, 1, 2, 3] },
      notes: ['no loss is measured without --calibration'],
    });
    expect(result).not.toHaveProperty('loss');
    expect(await lossOf(second)).toBe(await lossOf(model, '--drop-mlp', '0-3'));
  });

  it('skips the rows that the scores of a file have seen', async () => {
    const importance = join(folder, 'seen.json');
    await document('score', model, '--calibration', text, ...rowOptions, '--out', importance);
    const common = ['--target', 'block', '--count', '1', '--held-out', '4'];
    const [made, read] = [join(folder, 'made'), join(folder, 'read')];
    const { loss } = await drop('--calibration', text, ...rowOptions, ...common, '--out', made);
    expect(await drop('--calibration', text, '--importance', importance, ...common, '--out', read)).toMatchObject({
      loss,
    });
  });

  it('reports to people', async () => {
    const { code, stdout } = await llmDrop([
      'drop',
      model,
      ...scored,
      '--target',
      'joint',
      '--count',
      '3',
      '--out',
      join(folder, 'told'),
      '--backend',
      backend,
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^attention {2}drop = \[.*\]\n {11}keep = \[.*\]\nMLP {8}drop = \[.*\]\n {11}keep = \[.*\]\n/,
    );
    expect(stdout).toMatch(/^loss on 4 held-out rows: \d\.\d{4} before, \d\.\d{4} after, [+-]\d\.\d{4} ± \d\.\d{4}$/m);
  });

  it('refuses a folder that holds something, unless told to overwrite', async () => {
    const out = join(folder, 'twice');
    await drop('--drop-mlp', '2', '--out', out);
    const again = ['drop', model, '--drop-mlp', '1', '--out', out, '--backend', backend];
    expect(await llmDrop(again)).toEqual({
      code: 1,
      stdout: '',
      stderr: `error: ${out} exists and is not empty (choose another folder, or give --overwrite)\n`,
    });
    expect((await llmDrop([...again, '--overwrite'])).code).toBe(0);
    expect((await document('inspect', out)).drop).toEqual({ attention: [], mlp: [1] });
  });
});

describe('eval, generate, logits', () => {
  it('eval gives the loss of the library', async () => {
    await using loaded = await loadModel(model, { ...asCommands, drops: { attention: [1, 2], mlp: [3] } });
    const { rows } = await calibrationRows(await loadTokenizer(model), [text], { samples: 4, length: 32 });
    const result = await document(
      'eval',
      model,
      '--text',
      text,
      '--held-out',
      '4',
      '--length',
      '32',
      '--drop-attn',
      '1-2',
      '--drop-mlp',
      '3',
    );
    expect(result).toMatchObject({
      ...(await evaluateLoss(loaded, rows)),
      rows: 4,
      length: 32,
      drop: { attention: [1, 2], mlp: [3] },
      backend,
    });
  });

  it('eval under its old name of --held-out gives the same', async () => {
    const same = await document('eval', model, '--text', text, '--rows', '4', '--length', '32');
    expect(same).toMatchObject({ rows: 4, loss: await lossOf(model) });
  });

  it('eval --bos counts documents that stand alone the same each, and says where the token is', async () => {
    const argv = ['eval', model, '--text', text, '--held-out', '3', '--length', '64', '--bos', 'alone'];
    const result = await document(...argv);
    const losses = result.rowLosses as number[];
    expect(result).toMatchObject({ rows: 3, bos: 'alone' });
    expect(result.loss).toBe(losses.reduce((a, b) => a + b) / 3);
    expect((await llmDrop([...argv, '--backend', backend])).stdout).toMatch(/3 documents of at most 64/);
  });

  it('eval --bos of a model without such a token is one sentence', async () => {
    const path = await writeModel(join(folder, 'no-bos'));
    const { bos_token_id: _id, ...rest } = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as object & {
      bos_token_id: number;
    };
    writeFileSync(join(path, 'config.json'), JSON.stringify(rest));
    writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify({ eos_token: '</s>' }));
    const { code, stdout, stderr } = await llmDrop([
      'eval',
      path,
      '--text',
      text,
      '--bos',
      'row',
      '--backend',
      backend,
    ]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^error: the tokenizer names no beginning-of-text token \(BOS\), which --bos puts \(.*\)\n$/,
    );
  });

  it('generate gives the tokens of the library and their text, as a stream or as a document', async () => {
    const tokenizer = await loadTokenizer(model);
    await using loaded = await loadModel(model, asCommands);
    const sampling = { temperature: 2, seed: 5, maxTokens: 40 };
    const prompt = tokenizer.encode('Once', { addSpecialTokens: true });
    const { tokens, stoppedBy } = await generate(loaded, prompt, sampling);
    const argv = ['generate', model, '--prompt', 'Once', '--temperature', '2', '--seed', '5', '--max-tokens', '40'];
    const result = await document(...argv);
    expect(result).toMatchObject({ prompt: 'Once', tokens, stoppedBy });
    expect(`Once${String(result.text)}`).toBe(tokenizer.decode([...prompt, ...tokens], { skipSpecialTokens: true }));
    expect(await llmDrop([...argv, '--backend', backend])).toEqual({
      code: 0,
      stdout: `Once${String(result.text)}\n`,
      stderr: '',
    });
  });

  it('logits writes what computeLogits gives', async () => {
    const [tokens, out] = [join(folder, 'tokens.json'), join(folder, 'logits.safetensors')];
    const sequences = [
      [1, 20, 30],
      [1, 40, 50],
    ];
    writeFileSync(tokens, JSON.stringify(sequences));
    expect(await document('logits', model, '--tokens', tokens, '--out', out, '--drop-attn', '0')).toMatchObject({
      shape: [2, 3, 320],
    });
    await using loaded = await loadModel(model, { ...asCommands, drops: { attention: [0] } });
    const file = await SafetensorsFile.open(out);
    expect(file.info('logits')).toMatchObject({ dtype: 'F32', shape: [2, 3, 320] });
    const pieces: Uint8Array[] = [];
    for await (const piece of file.raw('logits').read()) pieces.push(piece.slice());
    await file.close();
    expect(decodeFloats(Uint8Array.from(Buffer.concat(pieces)), 'float32')).toEqual(
      (await computeLogits(loaded, sequences)).logits,
    );
  });
});

describe('demo', () => {
  it('drops at three levels of either kind, on text that it samples where there is none', async () => {
    const result = await document('demo', model);
    const levels = result.levels as { target: string; layers: number[]; loss: number; tokensPerSecond: number }[];
    expect(levels.map(({ target, layers }) => `${target} ${layers.length}`)).toEqual([
      'attention 1',
      'attention 1',
      'attention 2',
      'mlp 1',
      'mlp 1',
      'mlp 2',
    ]);
    for (const { loss, tokensPerSecond } of levels) expect(loss * tokensPerSecond).toBeGreaterThan(0);
    expect(result.text).toContain('sampled');
  });

  it('takes calibration.txt of the model where it has one', async () => {
    const path = await writeModel(join(folder, 'with-text'));
    writeFileSync(join(path, 'calibration.txt'), stories);
    const { code, stdout } = await llmDrop(['demo', path, '--backend', backend]);
    expect(code).toBe(0);
    expect(stdout).toContain(join(path, 'calibration.txt'));
    expect(stdout).toMatch(/^2 attentions /m);
    // Each level's choice and loss are the library's.
    const result = (await document('demo', path)) as unknown as Pick<DemoResult, 'whole' | 'levels'>;
    await using loaded = await loadModel(path, asCommands);
    const rows = await splitRows(await loadTokenizer(path), [join(path, 'calibration.txt')], {
      samples: 16,
      heldOut: 8,
      length: 64,
    });
    const importance = await scoreImportance(loaded, rows.calibration);
    const whole = await evaluateLoss(loaded, rows.heldOut);
    expect(result.whole).toMatchObject({ rows: 8, loss: whole.loss });
    for (const { target, count, layers: chosen, loss, difference } of result.levels) {
      const drops = selectDrops(importance, target, count);
      expect(chosen).toEqual(drops[target]);
      loaded.setDrops(drops);
      const under = await evaluateLoss(loaded, rows.heldOut);
      expect(loss).toBe(under.loss);
      expect(difference).toBeCloseTo(under.loss - whole.loss, 10);
    }
  });
});

describe('Ctrl-C', () => {
  it('ends the work with exit code 130 and leaves nothing', async () => {
    const out = join(folder, 'interrupted');
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 20);
    const { code, stdout, stderr } = await llmDrop(
      [
        'drop',
        model,
        '--calibration',
        text,
        '--length',
        '8',
        '--target',
        'mlp',
        '--count',
        '1',
        '--out',
        out,
        '--backend',
        backend,
      ],
      { signal: abort.signal },
    );
    expect({ code, stdout, stderr }).toEqual({ code: 130, stdout: '', stderr: 'interrupted\n' });
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(folder).filter((name) => name.includes('interrupted'))).toEqual([]);
  });
});
