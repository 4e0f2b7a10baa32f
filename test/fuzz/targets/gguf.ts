/** GGUF files: of floats, and of blocks. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readValues } from '../../../src/checkpoint/index.js';
import { readInt4Rows } from '../../../src/engine/index.js';
import { exportModel } from '../../../src/export/index.js';
import { openModel } from '../../../src/models/index.js';
import type { Files, Target } from '../target.js';
import { modelFiles } from './models.js';
import { tokenizerFiles } from './tokenizers.js';

async function exported(type: 'f16' | 'q8_0' | 'q4_1'): Promise<Files> {
  const place = mkdtempSync(join(tmpdir(), 'llm-drop-fuzz-input-'));
  const folder = join(place, 'model');
  mkdirSync(folder);
  for (const [name, content] of Object.entries({ ...(await modelFiles('llama')), ...tokenizerFiles }))
    writeFileSync(join(folder, name), content);
  const out = join(place, 'out.gguf');
  await exportModel(folder, { to: 'gguf', out, type, backend: 'reference' });
  const files = { 'model.gguf': readFileSync(out) };
  rmSync(place, { recursive: true });
  return files;
}

export const ggufTargets: readonly Target[] = [
  {
    name: 'gguf',
    share: 12,
    inputs: async () => Promise.all([exported('f16'), exported('q8_0'), exported('q4_1')]),
    read: async (folder) => {
      await using opened = await openModel(join(folder, 'model.gguf'));
      const { source } = opened;
      for (const name of source.tensorNames()) {
        await readValues(source.source(name));
        const int4 = await source.int4(name)?.int4();
        if (int4) await readInt4Rows(int4, 0, int4.shape[0]);
      }
      (await source.tokenizer()).encode('Once upon a time');
    },
  },
];
