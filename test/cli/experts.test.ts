/** Dropping experts: how often they are visited, which go, and what is left. */
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { compress, parseRecipe } from '../../src/compress/index.js';
import { dropRecordFile, reap, selectExperts, type DropRecord, type ExpertWorks } from '../../src/drop/index.js';
import { openCheckpoint, type Checkpoint } from '../../src/checkpoint/index.js';
import type { JobProgress } from '../../src/jobs/index.js';
import type { PartialConfig } from '../../src/models/index.js';
import { readMiniGguf } from '../unit/export/miniGguf.js';
import { writeFused, writeRandomFolder } from '../unit/export/randomFolder.js';
import { backend, document, llmDrop, stories, temporaryFolder } from './commandLine.js';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const [model, text] = [at('mixtral'), at('stories.txt')];
const config: PartialConfig = {
  ...{ modelType: 'mixtral', vocabSize: 320, hiddenSize: 32, intermediateSize: 32, numHiddenLayers: 3 },
  ...{ numAttentionHeads: 4, maxPositionEmbeddings: 64, numLocalExperts: 6, numExpertsPerTok: 2 },
};
const rows = ['--samples', '4', '--length', '32'];

beforeAll(async () => {
  await writeRandomFolder(model, config);
  writeFileSync(text, stories);
});

const onText = ['--calibration', text, ...rows, '--held-out', '2'];
let made = 0;
async function drop(from: string, ...argv: string[]): Promise<DropRecord & { out: string }> {
  const out = at(`out-${made++}`);
  await document('drop', from, '--target', 'expert', ...argv, '--out', out);
  return { ...(JSON.parse(readFileSync(join(out, dropRecordFile), 'utf8')) as DropRecord), out };
}
const configOf = (out: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as Record<string, unknown>;

describe('score', () => {
  it('counts how often each expert is visited, in the document and in a table', async () => {
    const { experts } = (await document('score', model, '--calibration', text, ...rows)) as { experts: ExpertWorks };
    for (const works of experts) {
      expect(works).toHaveLength(6);
      expect(works!.reduce((sum, { visits }) => sum + visits, 0)).toBe(4 * 32 * 2);
      // The weights of a token's two experts sum to 1.
      expect(works!.reduce((sum, { weights }) => sum + weights, 0)).toBeCloseTo(4 * 32, 3);
    }
    const { stdout } = await llmDrop(['score', model, '--calibration', text, ...rows, '--backend', backend]);
    const lines = stdout.split('\n');
    const first = lines.indexOf('tokens that visit each expert, in percent');
    expect(lines[first + 1]).toMatch(/^layer +0 +1 +2 +3 +4 +5$/);
    expect(lines[first + 2].trim().split(/ +/)).toEqual([
      '0',
      ...experts[0]!.map(({ visits }) => ((100 * visits) / 128).toFixed(1)),
    ]);
  });

  it('in shards counts the same', async () => {
    const whole = await document('score', model, '--calibration', text, ...rows);
    const parts = [1, 2].map((i) => at(`part-${i}.json`));
    for (const [i, part] of parts.entries())
      await document('score', model, '--calibration', text, ...rows, '--shard', `${i + 1}/2`, '--out', part);
    const merged = await document('merge', ...parts);
    const visits = ({ experts }: Record<string, unknown>): number[] =>
      (experts as ExpertWorks).flatMap((works) => works!.map((work) => work.visits));
    expect(visits(merged)).toEqual(visits(whole));
  });
});

describe('drop', () => {
  it('takes the experts that add least, of each layer, and says what that costs', async () => {
    const record = await drop(model, '--count', '2', ...onText);
    const drops = selectExperts(record.importance!.experts!, {
      ...{ target: 'expert', count: 2, metric: reap.name, seed: null },
    });
    expect(record).toMatchObject({
      ...{ method: 'scores', target: 'expert', count: 2, metric: 'reap', drop: { attention: [], mlp: [] } },
      experts: { before: 6, after: 4, drop: drops },
      calibration: { samples: 4, length: 32 },
      loss: { rows: 2 },
    });
    // An expert is three matrices of 32 x 32, and has a row of the router.
    expect(record.before.parameters - record.after.parameters).toBe(3 * 2 * (3 * 32 * 32 + 32));
    expect(configOf(record.out)).toMatchObject({ num_local_experts: 4, num_experts_per_tok: 2 });
    expect(configOf(record.out)).not.toHaveProperty('drop_attn_list');
    const measured = await document('eval', record.out, '--text', text, '--held-out', '2', '--length', '32');
    expect(measured.loss).toBeTypeOf('number');
  });

  it('is shown to people', async () => {
    const argv = ['drop', model, '--target', 'expert', '--count', '2', ...onText, '--out', at('shown')];
    const { stdout } = await llmDrop([...argv, '--backend', backend]);
    expect(stdout).toMatch(/^2 of 6 experts of each layer are dropped\nlayer 0 +drop = \[\d, \d\]\n/);
    expect(stdout).toContain('chosen by  reap scores, on 4 rows of 32 tokens');
  });

  it('by scores from a file chooses as by a text, by any of their metrics', async () => {
    const file = at('scores.json');
    await document('score', model, '--calibration', text, ...rows, '--out', file);
    for (const metric of ['reap', 'visits', 'weights']) {
      const ways = [onText, ['--importance', file]];
      const [here, read] = await Promise.all(
        ways.map((way) => drop(model, '--count', '3', '--metric', metric, ...way)),
      );
      expect(read.experts).toEqual(here.experts);
      expect(read.calibration).toBeNull();
    }
  });

  it('by chance needs no text, and is the same for the same seed', async () => {
    const chosen = async (...seed: string[]) =>
      (await drop(model, '--count', '2', '--metric', 'random', ...seed)).experts;
    expect(await chosen()).toEqual(await chosen('--seed', '0'));
    expect(await chosen('--seed', '1')).not.toEqual(await chosen('--seed', '2'));
  });

  it('of a file with stacked experts is that of one with an expert a tensor', async () => {
    await writeFused(model, at('fused'));
    const [apart, fused] = [
      await drop(model, '--count', '2', ...onText),
      await drop(at('fused'), '--count', '2', ...onText),
    ];
    expect(fused.experts).toEqual(apart.experts);
    expect(fused.loss!.after).toBe(apart.loss!.after);
  });

  it('of what was dropped before keeps that', async () => {
    const out = at('without-modules');
    await document('drop', model, '--drop-attn', '1', '--drop-mlp', '2', '--out', out);
    const record = await drop(out, '--count', '1', ...onText);
    expect(record.experts!.drop[2]).toBeNull();
    expect(configOf(record.out)).toMatchObject({ drop_attn_list: [1], drop_mlp_list: [2], num_local_experts: 5 });
  });

  it('with weights held in 4 bits measures the smaller model so, too', async () => {
    const file = at('for-int4.json');
    await document('score', model, '--calibration', text, ...rows, '--out', file);
    const chosen = ['--count', '2', '--importance', file, ...onText];
    const [floats, int4] = [await drop(model, ...chosen), await drop(model, ...chosen, '--int4')];
    expect(int4.experts).toEqual(floats.experts);
    expect(int4.loss!.after).not.toBe(floats.loss!.after);
    expect(int4.loss!.after).toBeCloseTo(floats.loss!.after, 0);
  });

  it('of weights in 4 bits moves them as they are', async () => {
    const packed = at('packed');
    await document('quantize', model, '--method', 'rtn', '--format', 'gptq', '--group-size', '32', '--out', packed);
    const record = await drop(packed, '--count', '2', ...onText);
    const [before, after] = [await openCheckpoint(packed), await openCheckpoint(record.out)];
    const stays = [0, 1, 2, 3, 4, 5].filter((expert) => !record.experts!.drop[1]!.includes(expert));
    const bytes = async (from: Checkpoint, expert: number): Promise<Buffer[]> => {
      const pieces: Buffer[] = [];
      for (const part of from.stored(`model.layers.1.block_sparse_moe.experts.${expert}.w1.weight`))
        for await (const piece of part.read()) pieces.push(Buffer.from(piece));
      return pieces;
    };
    for (const [to, expert] of stays.entries()) expect(await bytes(after, to)).toEqual(await bytes(before, expert));
    await Promise.all([before.close(), after.close()]);
  });

  it('of weights in 4 bits refuses a config that names single experts', async () => {
    const named = at('named');
    cpSync(at('packed'), named, { recursive: true });
    const { quantization_config: said, ...rest } = configOf(named);
    const dynamic = { '-:.*\\bmodel\\.layers\\.0\\.block_sparse_moe\\.experts\\.1\\.w1$': {} };
    writeFileSync(
      join(named, 'config.json'),
      JSON.stringify({ ...rest, quantization_config: { ...(said as object), dynamic } }),
    );
    const argv = ['drop', named, '--target', 'expert', '--count', '1', ...onText, '--out', at('refused')];
    const { code, stderr } = await llmDrop([...argv, '--backend', backend]);
    expect(stderr).toContain('names the expert model.layers.0.block_sparse_moe.experts.1.w1, which would be another');
    expect(code).toBe(1);
  });

  it.each<[string[], string]>([
    [
      ['--count', '5', ...onText],
      'without 5 of 6 experts a layer has 1, but each token visits 2 of them (drop at most 4)',
    ],
    [['--count', '2'], 'choosing what to drop needs scores'],
    [['--count', '0', ...onText], '--count must be'],
    [onText, '--target expert needs --count: how many of each layer'],
    [
      ['--count', '2', ...onText, '--search', 'greedy-kl', '--keep', '0'],
      '--target expert takes as many experts of each layer, so --search and --keep do not go with it',
    ],
    [['--count', '2', ...onText, '--drop-mlp', '1'], 'so --drop-mlp does not go with it'],
    [['--count', '2', ...onText, '--metric', 'cosine'], '--metric must be'],
    [['--count', '2', ...onText, '--seed', '3'], '--seed is of random choices, so it needs --metric random'],
  ])('refuses %j', async (argv, message) => {
    const out = at('refused');
    const { code, stderr } = await llmDrop(['drop', model, '--target', 'expert', ...argv, '--out', out]);
    expect(stderr).toContain(message);
    expect(code).toBe(1);
    expect(existsSync(out)).toBe(false);
  });
});

describe('what is left', () => {
  it('is exported for other engines, with a card that says what went', async () => {
    const record = await drop(model, '--count', '2', ...onText);
    const [plain, gguf] = [at('plain'), at('small.gguf')];
    await document('export', record.out, '--to', 'hf', '--out', plain);
    expect(configOf(plain)).toMatchObject({ architectures: ['MixtralForCausalLM'], num_local_experts: 4 });
    const card = readFileSync(join(plain, 'README.md'), 'utf8');
    expect(card).toMatch(/^# .* without 2 of 6 experts a layer$/m);
    expect(card).toContain(`| 1 | ${record.experts!.drop[1]!.join(', ')} |`);
    expect(card).toMatch(/llm-drop drop .* --target expert --count 2 --metric reap --calibration TEXT --out fewer/);
    expect(card).toContain('llm-drop export fewer --to hf');
    await document('export', record.out, '--to', 'gguf', '--out', gguf);
    const { metadata, tensors } = readMiniGguf(gguf);
    expect(metadata).toMatchObject({ 'llama.expert_count': 4, 'llama.expert_used_count': 2 });
    expect(tensors['blk.0.ffn_gate_inp.weight'].ne).toEqual([32, 4]);
    expect(tensors['blk.0.ffn_up_exps.weight'].ne).toEqual([32, 32, 4]);
    // Read from there again, with fewer still.
    expect(configOf((await drop(gguf, '--count', '1', ...onText)).out)).toMatchObject({ num_local_experts: 3 });
    const loss = async (path: string): Promise<unknown> =>
      (await document('eval', path, '--text', text, '--held-out', '2', '--length', '32', '--bos', 'row')).loss;
    expect(await loss(plain)).toBe(await loss(record.out));
  });

  it('goes through a recipe, which goes on where it was killed to the same bytes', async () => {
    const recipe = parseRecipe({
      calibration: { files: [text], samples: 4, length: 32, heldOut: 2 },
      drop: { target: 'expert', count: 2 },
      quantize: { method: 'rtn', groupSize: 32 },
      export: [{ to: 'gguf' }],
    });
    const notes: string[] = [];
    const run = (out: string, stopAt = Infinity): ReturnType<typeof compress> => {
      const stop = new AbortController();
      const onProgress = ({ stage, done }: JobProgress): void =>
        void (stage === 'scoring' && done === stopAt && stop.abort());
      return compress(model, recipe, {
        out,
        backend,
        onProgress,
        onNote: (note) => notes.push(note),
        signal: stop.signal,
      });
    };
    const whole = await run(at('whole'));
    expect(whole.experts).toMatchObject({ before: 6, after: 4 });
    expect(whole.stages.map(({ stage }) => stage)).toEqual(['whole', 'drop', 'quantize']);
    await expect(run(at('cut'), 2)).rejects.toThrow('aborted');
    await run(at('cut'));
    expect(notes).toContain('continuing a scoring at row 2');
    const without = (path: string): string => readFileSync(path, 'latin1').replace(/"date": "[^"]+"/, '');
    for (const name of ['model.safetensors', 'config.json', 'drop_report.json', 'exports/mixtral.gguf'])
      expect(without(at(`cut/${name}`)) === without(at(`whole/${name}`)), name).toBe(true);
  });

  it('is not compensated', () =>
    expect(() =>
      parseRecipe({ calibration: { files: [text] }, drop: { target: 'expert', count: 2 }, compensate: {} }),
    ).toThrow('compensate refits what is beside dropped modules, so it does not go with a drop of experts'));
});
