/** Sweeps that are gone on from: their numbers are the ones that were measured, or the file is refused. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { sweepModel, type SweepRecord } from '../../../src/jobs/index.js';
import { fromFolder, type Target } from '../target.js';
import { textModelFiles } from './models.js';

const sweepOf = (folder: string): Promise<SweepRecord> =>
  sweepModel(join(folder, 'model'), {
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
      const files = await textModelFiles();
      return fromFolder(files, async (folder) => {
        const { whole, points } = await sweepOf(folder);
        measured = { whole, points };
        return [{ ...files, 'sweep.json': readFileSync(join(folder, 'sweep.json')) }];
      });
    },
    changes: /^sweep\.json$/,
    read: async (folder) => {
      const { whole, points } = await sweepOf(folder);
      if (!isDeepStrictEqual({ whole, points }, measured)) throw new Error('goes on from what was changed');
    },
  },
];
