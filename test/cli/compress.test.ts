/** `compress`: one recipe twice is the same twice, the saved recipe too, and a run that was cut goes on. */
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { compress, parseRecipe, type CompressResult, type Recipe } from '../../src/compress/index.js';
import { tensorOfSource, writeWeights } from '../../src/checkpoint/index.js';
import type { JobProgress } from '../../src/jobs/index.js';
import { createEngine } from '../../src/engine/index.js';
import { allWeights, createModel, tensorNames } from '../../src/models/index.js';
import {
  config,
  document as documentOf,
  llmDrop as runIn,
  root,
  stories,
  temporaryFolder,
  writeModel,
} from './commandLine.js';

const folder = temporaryFolder();
/** These models are too small to share. */
const threads = ['--threads', '1'];
const llmDrop: typeof runIn = (argv) => runIn([...argv, ...threads]);
const document: typeof documentOf = (...argv) => documentOf(...argv, ...threads);
const at = (name: string): string => join(folder, name);
const [model, text] = [at('tiny'), at('stories.txt')];
const calibration = { files: [text], samples: 6, length: 48, heldOut: 4 };
const recipe = {
  calibration,
  drop: { target: 'attention', count: 2 },
  compensate: { mode: 'all' },
  quantize: { groupSize: 32 },
  export: [{ to: 'gguf' }, { to: 'vllm', type: 'bf16' }, { to: 'hf', zero: true }],
};

/** Wide enough for groups of 32 and 64. */
async function writeTiny(): Promise<void> {
  const layers = 4;
  const [hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads] = [64, 128, 2, 1];
  const shape = { vocabSize: 320, hiddenSize, intermediateSize, numHiddenLayers: layers, numAttentionHeads };
  using engine = await createEngine('reference');
  using tiny = await createModel({ ...shape, numKeyValueHeads }, { seed: 3, engine });
  const names = allWeights(tiny.description).flatMap(tensorNames);
  await writeModel(model); // for its tokenizer
  await writeWeights(
    model,
    names.map((name) => tensorOfSource(tiny.parameters.source(name))),
  );
  const sizes = { hidden_size: hiddenSize, intermediate_size: intermediateSize };
  writeFileSync(join(model, 'config.json'), JSON.stringify({ ...config, ...sizes }));
  writeFileSync(text, stories);
}

function saved(name: string, value: unknown): string {
  writeFileSync(at(name), JSON.stringify(value));
  return at(name);
}

/** Every file below a folder, without dates. */
const contents = (path: string): Record<string, string> =>
  Object.fromEntries(
    (readdirSync(path, { recursive: true }) as string[])
      .filter((name) => statSync(join(path, name)).isFile())
      .sort()
      .map((name) => {
        const bytes = readFileSync(join(path, name)).toString('latin1');
        return [relative('.', name), bytes.replace(/"date": "\d{4}-[^"]+"/, '"date": ""')];
      }),
  );

function expectSame(out: string, other: string): void {
  const [a, b] = [contents(out), contents(other)];
  expect(Object.keys(a)).toEqual(Object.keys(b));
  for (const name of Object.keys(a)) expect(a[name] === b[name], `${name} of ${out} and of ${other}`).toBe(true);
}

const noRemains = (): void => expect(readdirSync(folder).filter((name) => /compress$|partial/.test(name))).toEqual([]);

beforeAll(writeTiny);

describe('compress', () => {
  let whole: CompressResult;
  beforeAll(async () => {
    whole = (await document('compress', model, '--recipe', saved('all.json', recipe), '--out', at('whole'))) as never;
  }, 60_000);

  it('writes the model, the exports, the report and the complete recipe', async () => {
    const files = Object.keys(contents(at('whole')));
    expect(files).toEqual(
      expect.arrayContaining([
        ...['config.json', 'model.safetensors', 'tokenizer.json', 'drop_report.json', 'quantize_report.json'],
        ...['recipe.json', 'compress_report.json', 'exports/tiny.gguf', 'exports/tiny.md'],
        ...['exports/vllm-bf16/model.safetensors', 'exports/hf-zero/model.safetensors'],
      ]),
    );
    expect(files.filter((name) => name.includes('stage.json'))).toEqual([]);
    noRemains();
    const { out, recipe: made, ...report } = whole;
    expect(out).toBe(at('whole'));
    expect(JSON.parse(readFileSync(at('whole/compress_report.json'), 'utf8'))).toEqual(report);
    expect(JSON.parse(readFileSync(at('whole/recipe.json'), 'utf8'))).toEqual(made);
    expect(made).toEqual({ ...parseRecipe(recipe), inputs: made.inputs, versions: report.versions });
    expect(made.inputs!.model.name).toBe('tiny');
    expect(made.inputs!.calibration[0].file).toBe(text);
  });

  it('measures each stage as the commands do, one after the other', async () => {
    const rows = ['--calibration', text, '--samples', '6', '--length', '48', '--held-out', '4'];
    const dropped = ['--target', 'attention', '--count', '2', '--compensate', 'all'];
    const drop = (await document('drop', model, ...rows, ...dropped, '--out', at('dropped'))) as never as {
      compensation: { losses: { whole: number; dropped: number; refit: number }[] };
      drop: object;
      after: { parameters: number; bytes: number };
    };
    const quantize = (await document(
      'quantize',
      at('dropped'),
      ...rows,
      '--group-size',
      '32',
      '--out',
      at('int4'),
    )) as never as {
      losses: { after: number; difference: number }[];
      bytes: { after: number };
    };
    expect(whole.drop).toEqual(drop.drop);
    expect(whole.stages.map(({ stage }) => stage)).toEqual(['whole', 'drop', 'compensate', 'quantize']);
    const [losses] = drop.compensation.losses;
    expect(whole.stages.map(({ loss }) => loss)).toEqual([
      losses.whole,
      losses.dropped,
      losses.refit,
      quantize.losses[0].after,
    ]);
    expect(whole.stages[3].difference).toBe(quantize.losses[0].difference);
    expect(whole.stages.slice(1).map(({ parameters }) => parameters)).toEqual(Array(3).fill(drop.after.parameters));
    expect(whole.stages.slice(1).map(({ bytes }) => bytes)).toEqual([
      drop.after.bytes,
      drop.after.bytes,
      quantize.bytes.after,
    ]);
    expect(whole.stages[0].bitsPerWeight).toBe(32);
    const weights = (path: string): Buffer => readFileSync(join(path, 'model.safetensors'));
    expect(weights(at('whole')).equals(weights(at('int4')))).toBe(true);
  }, 60_000);

  it('twice is the same twice, and so is the saved recipe', async () => {
    for (const [from, out] of [
      ['all.json', 'twice'],
      ['whole/recipe.json', 'again'],
    ] as const) {
      expect((await llmDrop(['compress', model, '--recipe', at(from), '--out', at(out)])).code).toBe(0);
      expectSame(at(out), at('whole'));
    }
    noRemains();
  }, 60_000);

  it('shows people a line a stage', async () => {
    const small = saved('small.json', { calibration, drop: { mlp: [2] }, export: [{ to: 'gguf', type: 'q8_0' }] });
    const { code, stdout } = await llmDrop(['compress', model, '--recipe', small, '--out', at('small')]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^attention {2}drop = \[\]\nMLP {8}drop = \[2\]\n\n/);
    expect(stdout).toMatch(/\n +loss +by the stage +parameters +weights +bits each\nwhole +\d/);
    expect(stdout).toMatch(/\ndrop +\d\.\d{4} +[+-]\d\.\d{4} ± \d\.\d{4} +[\d,]+ +[\d.]+ kB +32\.00\n/);
    expect(stdout).toContain('exports/tiny-q8_0.gguf: q8_0, ');
  });
});

describe('a recipe of few stages', () => {
  const run = async (name: string, value: unknown): Promise<{ result: CompressResult; files: string[] }> => {
    const argv = ['compress', model, '--recipe', saved(`${name}.json`, value), '--out', at(name)];
    const result = (await document(...argv)) as never;
    noRemains();
    return { result, files: Object.keys(contents(at(name))) };
  };

  it('without a text measures no loss', async () => {
    const { result } = await run('rounded', { quantize: { method: 'rtn', groupSize: 32 } });
    expect(result.stages.map(({ stage, loss, rows }) => [stage, loss, rows])).toEqual([
      ['whole', null, 0],
      ['quantize', null, 0],
    ]);
    expect((await llmDrop(['eval', at('rounded'), '--text', text, '--held-out', '1', '--length', '16'])).code).toBe(0);
  });

  it('that exports alone writes no model of its own', async () => {
    const { files } = await run('exported', { export: [{ to: 'gguf', type: 'q8_0' }] });
    expect(files).toEqual(['compress_report.json', 'exports/tiny-q8_0.gguf', 'exports/tiny-q8_0.md', 'recipe.json']);
  });

  it('drops beside what the model had dropped before', async () => {
    await document('drop', model, '--drop-mlp', '1', '--out', at('earlier'));
    const more = { drop: { attention: [3], mlp: [2] } };
    await document('compress', at('earlier'), '--recipe', saved('more.json', more), '--out', at('more'));
    expect(JSON.parse(readFileSync(at('more/config.json'), 'utf8'))).toMatchObject({
      drop_attn_list: [3],
      drop_mlp_list: [1, 2],
    });
  });

  it('over a model folder that is there, with --overwrite only', async () => {
    const argv = ['compress', model, '--recipe', saved('over.json', { drop: { mlp: [0] } }), '--out', at('over')];
    expect((await llmDrop(argv)).code).toBe(0);
    expect((await llmDrop(argv)).stderr).toContain('exists and is not empty');
    expect((await llmDrop([...argv, '--overwrite'])).code).toBe(0);
  });
});

describe('a run that was cut', () => {
  const complete: Recipe = parseRecipe(recipe);
  const cut = Error('cut');
  /** As the command line computes, whose results these are compared with. */
  const here = { threads: 1, v8Flags: true };

  /** Cuts a run where `label` has told of progress so many times. */
  async function cutAt(out: string, label: string, times: number): Promise<void> {
    let told = 0;
    const onProgress = ({ stage, total }: JobProgress): void => {
      if (stage === label && total > 0 && told++ === times) throw cut;
    };
    await expect(compress(model, complete, { ...here, out: at(out), onProgress })).rejects.toBe(cut);
    expect([existsSync(at(out)), existsSync(at(`${out}.compress`))]).toEqual([false, true]);
  }

  /** Goes on, and gives what was told and what was worked on. */
  async function goOn(out: string, changed = complete): Promise<{ notes: string[]; labels: string[] }> {
    const [notes, labels]: [string[], string[]] = [[], []];
    const onProgress = ({ stage }: JobProgress): void => void labels.push(stage);
    await compress(model, changed, { ...here, out: at(out), onProgress, onNote: (text) => notes.push(text) });
    expect(existsSync(at(`${out}.compress`))).toBe(false);
    return { notes, labels: [...new Set(labels)] };
  }

  it.each([
    ['refitting', 'drop', ['scoring']],
    ['quantizing', 'compensate', ['scoring', 'refitting']],
    ['exporting', 'quantize', ['scoring', 'refitting', 'quantizing', 'measuring']],
  ])(
    'before %s goes on behind %s, to the same files',
    async (label, stage, never) => {
      await cutAt(label, label, 0);
      const { notes, labels } = await goOn(label);
      expect(notes).toEqual([`continuing behind ${stage}`]);
      expect(labels.filter((one) => never.includes(one))).toEqual([]);
      expectSame(at(label), at('whole'));
    },
    60_000,
  );

  it.each([
    ['refitting', 40, /continuing a refit behind \d+ output projections/],
    ['quantizing', 12, /continuing to quantize behind [1-9]\d* layers/],
  ])(
    'in the middle of %s goes on from there, to the same files',
    async (label, times, note) => {
      await cutAt(`within-${label}`, label, times);
      const { notes } = await goOn(`within-${label}`);
      expect(notes.join('\n')).toMatch(note);
      expectSame(at(`within-${label}`), at('whole'));
    },
    60_000,
  );

  it('in the middle of a greedy search goes on behind its steps, to the same files', async () => {
    const small = await writeModel(at('searched'));
    const search = parseRecipe({
      calibration: { files: [text], samples: 4, length: 16, heldOut: 2 },
      drop: { target: 'joint', count: 3, search: 'greedy-loss' },
    });
    await compress(small, search, { out: at('search'), threads: 1 });
    const notes: string[] = [];
    const onProgress = ({ stage }: JobProgress): void => {
      if (stage === 'searching' && existsSync(at('cut-search.compress')) && steps() === 2) throw cut;
    };
    const steps = (): number => {
      const name = readdirSync(at('cut-search.compress')).find((one) => one.endsWith('.search.progress'));
      if (!name) return 0;
      const { state } = JSON.parse(readFileSync(join(at('cut-search.compress'), name), 'utf8')) as { state: object[] };
      return state.length;
    };
    await expect(compress(small, search, { out: at('cut-search'), onProgress, threads: 1 })).rejects.toBe(cut);
    await compress(small, search, { out: at('cut-search'), threads: 1, onNote: (text) => notes.push(text) });
    expect(notes).toEqual(['continuing a search behind 2 of 3 steps']);
    expectSame(at('cut-search'), at('search'));
  });

  it('takes up only what a changed recipe has in common', async () => {
    await cutAt('changed', 'exporting', 0);
    const { notes, labels } = await goOn(
      'changed',
      parseRecipe({ ...recipe, quantize: { groupSize: 64 }, export: [] }),
    );
    expect(notes).toEqual(['continuing behind compensate']);
    expect(labels).toContain('quantizing');
    expect(labels).not.toContain('refitting');
  }, 60_000);
});

describe('compress refuses', () => {
  const refused = async (...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await llmDrop(['compress', ...argv]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(existsSync(at('refused'))).toBe(false);
    expect(existsSync(at('refused.compress'))).toBe(false);
    return stderr;
  };
  const run = (value: unknown, ...more: string[]): Promise<string> =>
    refused(...more, '--recipe', saved('refused.json', value), '--out', at('refused'));

  it('a bad recipe, by file and key', async () =>
    expect(await run({ ...recipe, quantize: { bits: 3 } })).toMatch(
      /^error: \S+refused\.json: quantize\.bits is not known \(the keys there are method, format, /,
    ));

  it('no recipe, and says how to get one', async () =>
    expect(await refused('--out', at('refused'))).toBe(
      'error: compress needs --recipe <file> (llm-drop compress --example prints one)\n',
    ));

  it('another model or another text than the recipe was run on', async () => {
    const small = await writeModel(at('model'));
    writeFileSync(at('other.txt'), stories);
    const files = { files: [at('other.txt')], samples: 4, length: 16 };
    const plain = { calibration: files, drop: { target: 'mlp', count: 1 } };
    await document('compress', small, '--recipe', saved('plain.json', plain), '--out', at('plain'));
    const made = JSON.parse(readFileSync(at('plain/recipe.json'), 'utf8')) as object;
    const other = await writeModel(at('other'), { seed: 2 });
    expect(await run(made, other)).toContain('what differs is the weights of the model (take inputs out of the recipe');
    writeFileSync(at('other.txt'), stories.replaceAll('red', 'blue'));
    expect(await run(made, small)).toContain(`what differs is ${at('other.txt')} (take inputs`);
    const { code } = await llmDrop([
      'compress',
      other,
      '--recipe',
      saved('free.json', { ...made, inputs: null }),
      '--out',
      at('free'),
    ]);
    expect(code).toBe(0);
  });

  it('what the format of integers cannot hold, before any work', async () => {
    const narrow = await writeModel(at('narrow'));
    expect(await run({ ...recipe, calibration: { ...calibration, length: 16 } }, narrow)).toMatch(
      /cannot hold model\.layers\.0\..*_proj\.weight \[\d+,\d+\]/,
    );
  });
});

it('--example prints a recipe that runs', async () => {
  const { code, stdout } = await llmDrop(['compress', '--example']);
  expect(code).toBe(0);
  const { calibration, drop } = parseRecipe(JSON.parse(stdout));
  expect([calibration!.files, drop]).toMatchObject([
    [join(root, 'models/tiny-stories/calibration.txt')],
    { target: 'attention', count: 2 },
  ]);
});
