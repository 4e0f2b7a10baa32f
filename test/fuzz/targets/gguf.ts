/** GGUF files: of floats, and of blocks. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GgufFile, readValues } from '../../../src/checkpoint/index.js';
import { exportModel } from '../../../src/export/index.js';
import { fromFolder, type Files, type Target } from '../target.js';
import { logitsOf, textModelFiles } from './models.js';

const exported = async (type: 'f16' | 'q8_0'): Promise<Files> =>
  fromFolder(await textModelFiles(), async (folder) => {
    const out = join(folder, 'out.gguf');
    await exportModel(join(folder, 'model'), { to: 'gguf', out, type, backend: 'reference' });
    return { 'model.gguf': readFileSync(out) };
  });

export const ggufTargets: readonly Target[] = [
  {
    name: 'gguf',
    share: 12,
    inputs: async () => Promise.all([exported('f16'), exported('q8_0')]),
    read: async (folder) => {
      const path = join(folder, 'model.gguf');
      await using file = await GgufFile.open(path);
      for (const name of file.tensorNames()) await readValues(file.source(name));
      return await logitsOf(path);
    },
  },
];
