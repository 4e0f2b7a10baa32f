/** Whatever is wrong with what is given: one sentence, exit code 1, no stack, nothing on stdout. */
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { backend, config, layers, llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

const folder = temporaryFolder();
const text = join(folder, 'stories.txt');
const at = (name: string): string => join(folder, name);
let model: string;

beforeAll(async () => {
  model = await writeModel(at('model'));
  writeFileSync(text, stories);
});

async function sentence(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await llmDrop([...argv, '--backend', backend]);
  expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }).toEqual({ code: 1, stdout: '', lines: 1 });
  expect(stderr).not.toMatch(/unexpected|^ +at /m);
  return stderr.trimEnd();
}

/** A model with something broken in it. */
async function broken(name: string, breakIt: (path: string) => void): Promise<string> {
  const path = await writeModel(at(name));
  breakIt(path);
  return path;
}

const evaluate = (path: string, ...more: string[]): Promise<string> => sentence('eval', path, '--text', text, ...more);

describe('model folders', () => {
  it('missing', async () => expect(await evaluate(at('nowhere'))).toContain(`there is no folder ${at('nowhere')}`));

  it('a truncated file of weights', async () => {
    const path = await broken('truncated', (p) => truncateSync(join(p, 'model.safetensors'), 6000));
    expect(await evaluate(path)).toContain(join(path, 'model.safetensors'));
  });

  it('a header that lies about its length', async () => {
    const path = await broken('lying', (p) => {
      const bytes = readFileSync(join(p, 'model.safetensors'));
      bytes.writeBigUInt64LE(1n << 40n, 0);
      writeFileSync(join(p, 'model.safetensors'), bytes);
    });
    expect(await evaluate(path)).toContain('the header claims 1099511627776 bytes');
  });

  it('an unknown model type', async () => {
    const path = await broken('mamba', (p) =>
      writeFileSync(join(p, 'config.json'), JSON.stringify({ ...config, model_type: 'mamba' })),
    );
    expect(await evaluate(path)).toContain('model type "mamba" is not supported (llama, mistral');
    expect(await sentence('inspect', path)).toContain('model type "mamba" is not supported');
  });

  it('a config that contradicts the weights', async () => {
    const path = await broken('contradicting', (p) =>
      writeFileSync(join(p, 'config.json'), JSON.stringify({ ...config, intermediate_size: 32 })),
    );
    expect(await evaluate(path)).toMatch(/is \[24,16\], but config\.json says \[32,16\]/);
  });

  it('no tokenizer', async () => {
    const path = await broken('mute', (p) => rmSync(join(p, 'tokenizer.json')));
    expect(await evaluate(path)).toContain('has no tokenizer.json');
    expect(await sentence('generate', path, '--prompt', 'x')).toContain('has no tokenizer.json');
  });

  it('a layer past the end', async () => {
    expect(await evaluate(model, '--drop-attn', '4')).toContain(`names layer 4, but the model has ${layers} (0 to 3)`);
    expect(await sentence('drop', model, '--drop-mlp', '1,9', '--out', at('past'))).toContain('names layer 9');
    expect(existsSync(at('past'))).toBe(false);
  });
});

describe('texts', () => {
  it('missing', async () =>
    expect(await sentence('score', model, '--calibration', at('no.txt'))).toContain('it does not exist'));

  it('shorter than a row', async () => {
    writeFileSync(at('short.txt'), 'Too short.');
    expect(await sentence('score', model, '--calibration', at('short.txt'))).toMatch(
      /not one full row of 64 tokens: found \d+ tokens, needed 64/,
    );
  });

  it('a bad line', async () => {
    writeFileSync(at('bad.jsonl'), '{"text": "good"}\n{"text": \n');
    expect(await sentence('score', model, '--calibration', at('bad.jsonl'))).toContain(
      'bad.jsonl, line 2: not valid JSON',
    );
  });

  it('another field', async () => {
    writeFileSync(at('field.jsonl'), '{"content": "good"}\n');
    expect(await sentence('score', model, '--calibration', at('field.jsonl'))).toContain(
      'there is no field text (its fields are content)',
    );
  });

  it('a prompt longer than the context', async () =>
    expect(await sentence('generate', model, '--prompt', stories)).toContain("but the model's context is 64"));
});

describe('JSON files', () => {
  const importance = async (value: unknown): Promise<string> => {
    writeFileSync(at('scores.json'), typeof value === 'string' ? value : JSON.stringify(value));
    return sentence(
      'drop',
      model,
      '--importance',
      at('scores.json'),
      '--target',
      'mlp',
      '--count',
      '1',
      '--out',
      at('never'),
    );
  };
  const similarity = (count: number): Record<string, number[]> =>
    Object.fromEntries(
      ['attention', 'mlp', 'block', 'attentionBare', 'mlpBare'].map((name) => [
        name,
        Array.from({ length: count }, () => 0.5),
      ]),
    );
  const scores = {
    metric: 'cosine',
    samples: 2,
    length: 8,
    tokens: 16,
    similarity: similarity(layers),
    blockConsecutive: [],
  };

  it('scores: missing', async () =>
    expect(
      await sentence(
        'drop',
        model,
        '--importance',
        at('none.json'),
        '--target',
        'mlp',
        '--count',
        '1',
        '--out',
        at('never'),
      ),
    ).toContain('none.json: it does not exist'));
  it('scores: no JSON', async () => expect(await importance('{')).toContain('is not valid JSON'));
  it('scores: of another form', async () => expect(await importance([1, 2])).toContain('holds no object of scores'));
  it('scores: no similarity', async () =>
    expect(await importance({ ...scores, similarity: undefined })).toContain("holds no object 'similarity'"));
  it('scores: not numbers', async () =>
    expect(await importance({ ...scores, similarity: { ...similarity(layers), mlp: [1, 2, 'x', 4] } })).toContain(
      `holds "x" in 'similarity.mlp'`,
    ));
  it('scores: a mistyped key', async () => {
    const { similarity: of, ...rest } = scores;
    expect(await importance({ ...rest, similarty: of })).toContain(
      'holds the key "similarty", which is not known (did you mean similarity?)',
    );
    expect(await importance({ ...scores, metric: undefined, metrik: 'angular' })).toContain('(did you mean metric?)');
    const { mlp, ...others } = of;
    expect(await importance({ ...scores, similarity: { ...others, mpl: mlp } })).toContain('(did you mean mlp?)');
  });
  it('scores: of another model', async () =>
    expect(await importance({ ...scores, similarity: similarity(32) })).toContain(
      `scores 32 layers, but the model has ${layers}`,
    ));
  it('more than there are', async () => {
    writeFileSync(at('fine.json'), JSON.stringify(scores));
    const drop = (...more: string[]): Promise<string> =>
      sentence('drop', model, '--importance', at('fine.json'), '--target', 'mlp', ...more, '--out', at('never'));
    expect(await drop('--count', '5')).toContain("cannot drop 5 of target 'mlp': 4 can be dropped");
    expect(await drop('--count', '3', '--keep', '0-1')).toContain('2 can be dropped');
    expect(await drop('--count', '1', '--keep', '12')).toContain('--keep names layer 12');
  });

  const logits = async (value: unknown): Promise<string> => {
    writeFileSync(at('tokens.json'), JSON.stringify(value));
    return sentence('logits', model, '--tokens', at('tokens.json'), '--out', at('never.safetensors'));
  };
  it('tokens: of another form', async () => {
    for (const value of [[], [[]], [1, 2], { a: 1 }, [[1, 'x']], [[1.5]], [[-1]]])
      expect(await logits(value)).toContain('must hold lists of token ids');
  });
  it('tokens: of different lengths', async () =>
    expect(await logits([[1, 2], [1]])).toContain('list 0 has 2 ids and list 1 has 1'));
  it('tokens: past the vocabulary', async () =>
    expect(await logits([[1, 320]])).toContain('token 320 is not within 0 to 319'));
});

/** A file that is always full. */
const fills = existsSync('/dev/full');
if (!fills) console.warn('skipped: this system has no /dev/full');

describe('outputs', () => {
  const score = (out: string): Promise<string> =>
    sentence('score', model, '--calibration', text, '--samples', '2', '--length', '16', '--out', out);

  it('a folder that is not there', async () =>
    expect(await score(at('not/there.json'))).toContain('it does not exist'));
  it('a folder in place of a file', async () => expect(await score(folder)).toContain('it is a folder, not a file'));
  it.skipIf(!fills)('a full disk', async () => {
    expect(await score('/dev/full')).toContain('cannot write /dev/full: the disk is full');
  });
});

it('an error that nobody foresaw is one line too, and its stack comes with --verbose', async () => {
  const stdout = {
    write: (): void => {
      throw new Error('first line\nsecond line');
    },
  };
  let told = '';
  const { run } = await import('../../src/cli/run.js');
  const surroundings = { stdout, stderr: { write: (piece: string): void => void (told += piece) } };
  expect(await run(['inspect', model, '--backend', backend], surroundings)).toBe(1);
  expect(told).toBe('error: first line second line (unexpected; run with --verbose for the stack)\n');
  told = '';
  expect(await run(['inspect', model, '--backend', backend, '--verbose'], surroundings)).toBe(1);
  expect(told).toMatch(/^error: Error: first line\nsecond line\n +at /);
});
