/** Sweeps that are gone on from: their numbers are the ones that were measured, or the file is refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { sweepModel, type SweepRecord } from '../../../src/jobs/index.js';
import type { Files, Target } from '../target.js';
import { modelFiles } from './models.js';
import { tokenizerFiles } from './tokenizers.js';

const sweepOf = (folder: string): Promise<SweepRecord> =>
  sweepModel(folder, {
    ...{ calibration: [join(folder, 'text.txt')], samples: 2, length: 8, heldOut: 2, speedRounds: 0 },
    ...{ targets: ['attention', 'mlp'], counts: [1], out: join(folder, 'sweep.json') },
    ...{ backend: 'wasm', threads: 1 },
  });

let measured: Pick<SweepRecord, 'whole' | 'points'> | undefined;

export const sweepTargets: readonly Target[] = [
  {
    name: 'sweeps',
    share: 2,
    inputs: async () => {
      const folder = mkdtempSync(join(tmpdir(), 'llm-drop-fuzz-input-'));
      const files: Files = {
        ...(await modelFiles('llama')),
        ...tokenizerFiles,
        'text.txt': 'the end of the story. '.repeat(20),
      };
      for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
      const { whole, points } = await sweepOf(folder);
      measured = { whole, points };
      const saved = readFileSync(join(folder, 'sweep.json'));
      rmSync(folder, { recursive: true });
      return [{ ...files, 'sweep.json': saved }];
    },
    changes: /^sweep\.json$/,
    read: async (folder) => {
      const { whole, points } = await sweepOf(folder);
      if (!isDeepStrictEqual({ whole, points }, measured)) throw new Error('goes on from what was changed');
    },
  },
];
