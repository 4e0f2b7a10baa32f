/** Command lines, run in this process as the command would: their flags, and lists of tokens. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../../src/cli/run.js';
import { UserError } from '../../../src/engine/index.js';
import type { Target } from '../target.js';
import { textModelFiles } from './models.js';

/** An argument a line; `{}` stands for the folder. */
const lines: readonly (readonly string[])[] = [
  'inspect {}/model --drop-attn 0 --drop-mlp 0-1 --json',
  'score {}/model --calibration {}/text.txt --samples 2 --length 8 --seed 3 --gap 1,2',
  'score {}/model --calibration {}/text.txt --samples 2 --length 8 --shard 1/2 --out {}/out/a',
  'drop {}/model --drop-attn 1 --drop-mlp 0 --out {}/out/b',
  'drop {}/model --target joint --count 1 --calibration {}/text.txt --samples 2 --length 8 --out {}/out/c',
  'eval {}/model --text {}/text.txt --held-out 2 --length 8 --threads 1 --group-size 32',
  'logits {}/model --tokens {}/tokens.json --out {}/out/d --drop-attn 1 --backend reference',
  'generate {}/model --prompt the --max-tokens 3 --temperature 0.5 --top-p 0.9 --seed 1',
  'export {}/model --to gguf --type q8_0 --out {}/out/e.gguf --drop-attn 1',
  'quantize {}/model --method rtn --format gptq --group-size 32 --out {}/out/f',
].map((line) => line.split(' '));

/** A mistake in the program, as the command line tells it. */
class UnexpectedError extends Error {}

export const commandTargets: readonly Target[] = [
  {
    name: 'commands',
    share: 3,
    inputs: async () => {
      const files = { ...(await textModelFiles()), 'tokens.json': '[[1, 2, 3], [4, 5, 6]]' };
      return lines.map((words) => ({ ...files, 'words.txt': words.join('\n') }));
    },
    changes: /^(words\.txt|tokens\.json)$/,
    read: async (folder) => {
      mkdirSync(join(folder, 'out'));
      const words = readFileSync(join(folder, 'words.txt'), 'utf8').split('\n');
      // Endless work that was asked for is no fault; nothing is written elsewhere.
      if (words.some((word) => /\.\.|^\d{5,}|e\d|Infinity/.test(word))) return;
      // No system passes it.
      if (words.some((word) => word.includes('\0'))) return;
      const out = { text: '', write: (part: string) => ((out.text += part), true), isTTY: false };
      const told = { ...out, write: (part: string) => ((told.text += part), true) };
      const code = await run(
        words.map((word) => word.replace('{}', folder)),
        { stdout: out, stderr: told } as never,
      );
      if (told.text.includes('(unexpected')) throw new UnexpectedError(told.text);
      if (code !== 0) throw new UserError(told.text);
      if (/\bNaN\b/.test(out.text)) throw new UnexpectedError(`${out.text} holds NaN`);
    },
  },
];
