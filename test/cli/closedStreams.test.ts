/** What becomes of a command whose output or messages nobody takes: the built program, with its pipes closed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { built, main } from './builtProgram.js';
import { config, llmDrop, stories, temporaryFolder, writeModel } from './commandLine.js';

const fills = existsSync('/dev/full');
if (!fills) console.warn('skipped: this system has no /dev/full');

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const [model, text] = [at('model'), at('stories.txt')];
/** Longer than the model's context, so that each command says a note, and would meet a closed standard error. */
const rows = ['--samples', '4', '--length', '9999'];

/** Commands whose product is a file. */
const writers: Record<string, readonly string[]> = {
  score: ['score', model, '--calibration', text, ...rows, '--out', at('out')],
  merge: ['merge', at('part-1.json'), at('part-2.json'), '--out', at('out')],
  drop: ['drop', model, '--calibration', text, ...rows, '--target', 'mlp', '--count', '1', '--out', at('out')],
  compensate: ['compensate', at('dropped'), '--base', model, '--calibration', text, ...rows, '--out', at('out')],
  quantize: ['quantize', model, '--method', 'rtn', '--group-size', '-1', '--out', at('out')],
  compress: ['compress', model, '--recipe', at('recipe.json'), '--out', at('out')],
  sweep: ['sweep', model, '--calibration', text, ...rows, '--count', '1', '--speed-rounds', '0', '--out', at('out')],
  logits: ['logits', model, '--tokens', at('tokens.json'), '--out', at('out')],
  export: ['export', model, '--to', 'hf', '--out', at('out')],
};
/** Commands that print, and a part of what they print. */
const printers: Record<string, readonly [argv: readonly string[], part: RegExp]> = {
  help: [['--help'], /Usage: llm-drop/],
  inspect: [['inspect', model], /vocabulary/],
  eval: [['eval', model, '--text', text, '--length', '9999'], /perplexity/],
  generate: [['generate', model, '--prompt', 'Once', '--max-tokens', '8'], /^Once/],
  bench: [['bench', model, '--prompt', '8', '--generate', '2', '--repeats', '1'], /tg2/],
  demo: [['demo', model], /what dropping costs/],
  example: [['compress', model, '--example'], /"schema"/],
};

beforeAll(async () => {
  await writeModel(model);
  // A leftover about quantization, of which each command that opens the model says that it means nothing.
  writeFileSync(
    join(model, 'config.json'),
    JSON.stringify({ ...config, quantization_config: { quant_method: 'fp8' } }),
  );
  writeFileSync(text, stories);
  writeFileSync(join(model, 'calibration.txt'), stories.repeat(4));
  writeFileSync(at('tokens.json'), '[[1, 15, 7]]');
  writeFileSync(at('recipe.json'), JSON.stringify({ drop: { mlp: [1] } }));
  for (const part of ['1', '2']) {
    const argv = ['score', model, '--calibration', text, ...rows, '--shard', `${part}/2`];
    await llmDrop([...argv, '--out', at(`part-${part}.json`), '--backend', 'reference']);
  }
  await llmDrop(['drop', model, '--drop-mlp', '1', '--out', at('dropped'), '--backend', 'reference']);
});

interface Closing {
  readonly stdout?: 'closed' | 'full';
  readonly stderr?: 'closed';
}

/** Runs the program with streams that nobody reads from the start, or that are always full. */
async function run(
  argv: readonly string[],
  closing: Closing,
): Promise<{ code: number; stdout: string; stderr: string }> {
  rmSync(at('out'), { recursive: true, force: true });
  const full = closing.stdout === 'full' ? openSync('/dev/full', 'w') : undefined;
  const computing = argv[0] === '--help' ? [] : ['--backend', 'reference'];
  const child = spawn(process.execPath, [main, ...argv, ...computing], { stdio: ['ignore', full ?? 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (piece: Buffer) => (stdout += piece.toString()));
  child.stderr!.on('data', (piece: Buffer) => (stderr += piece.toString()));
  if (closing.stdout === 'closed') child.stdout!.destroy();
  if (closing.stderr === 'closed') child.stderr!.destroy();
  const [code] = (await once(child, 'close')) as [number];
  if (full !== undefined) closeSync(full);
  return { code, stdout, stderr };
}

describe.skipIf(!built)('a command that writes files', () => {
  it.each(Object.keys(writers))('%s does so where nobody takes its output and its messages', async (name) => {
    expect((await run(writers[name], { stdout: 'closed', stderr: 'closed' })).code).toBe(0);
    const found = existsSync(join(at('out'), 'config.json')) || readFileSync(at('out')).length > 0;
    expect(found).toBe(true);
  });

  it('goes on to fail where it fails', async () => {
    const { code } = await run([...writers.drop, '--target', 'mlp', '--count', '9'], { stderr: 'closed' });
    expect(code).toBe(1);
    expect(existsSync(at('out'))).toBe(false);
  });
});

describe.skipIf(!built)('a command that prints', () => {
  it.each(['inspect', 'eval', 'generate', 'bench', 'demo'])(
    '%s does so where nobody takes its messages',
    async (name) => {
      const [argv, part] = printers[name];
      const { code, stdout } = await run(argv, { stderr: 'closed' });
      expect(code).toBe(0);
      expect(stdout).toMatch(part);
    },
  );

  it.each(['help', 'inspect', 'eval', 'example'])('%s ends without an error where nobody reads', async (name) => {
    const { code, stderr } = await run(printers[name][0], { stdout: 'closed' });
    expect(code).toBe(0);
    expect(stderr).not.toMatch(/error/);
  });

  it('generate stops where nobody reads any more', async () => {
    // As many tokens as the context holds take far longer than the few until the pipe is found closed.
    const endless = { ...config, max_position_embeddings: 100_000, eos_token_id: 319 };
    await writeModel(at('endless'));
    writeFileSync(join(at('endless'), 'config.json'), JSON.stringify(endless));
    const start = Date.now();
    const { code } = await run(['generate', at('endless'), '--prompt', 'Once', '--max-tokens', '90000'], {
      stdout: 'closed',
    });
    expect(code).toBe(0);
    expect(Date.now() - start).toBeLessThan(20_000);
  }, 60_000);
});

describe.skipIf(!built || !fills)('where nothing can be written', () => {
  it.each(['help', 'inspect', 'generate', 'score', 'drop'])('%s says so in one sentence', async (name) => {
    const argv = writers[name] ?? printers[name][0];
    const { code, stderr } = await run(argv, { stdout: 'full' });
    expect(code).toBe(1);
    const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
    expect(errors).toEqual([
      'error: cannot write to standard output: the disk is full (free some space or choose another place)',
    ]);
  });
});
