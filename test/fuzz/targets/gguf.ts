/** GGUF files: of floats, and of blocks. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readValues } from '../../../src/checkpoint/index.js';
import { readInt4Rows } from '../../../src/engine/index.js';
import { exportModel } from '../../../src/export/index.js';
import { openModel } from '../../../src/models/index.js';
import { fromFolder, type Files, type Target } from '../target.js';
import { logitsOf, textModelFiles } from './models.js';

const exported = async (type: 'f16' | 'q8_0' | 'q4_1'): Promise<Files> =>
  fromFolder(await textModelFiles(), async (folder) => {
    const out = join(folder, 'out.gguf');
    await exportModel(join(folder, 'model'), { to: 'gguf', out, type, backend: 'reference' });
    return { 'model.gguf': readFileSync(out) };
  });

export const ggufTargets: readonly Target[] = [
  {
    name: 'gguf',
    share: 12,
    inputs: async () => Promise.all([exported('f16'), exported('q8_0'), exported('q4_1')]),
    read: async (folder) => {
      const path = join(folder, 'model.gguf');
      {
        await using opened = await openModel(path);
        const { source } = opened;
        for (const name of source.tensorNames()) {
          await readValues(source.source(name));
          const int4 = await source.int4(name)?.int4();
          if (int4) await readInt4Rows(int4, 0, int4.shape[0]);
        }
        (await source.tokenizer()).encode('Once upon a time');
      }
      return logitsOf(path);
    },
  },
];
