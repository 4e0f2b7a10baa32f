/** GGUF files: of floats, and of blocks. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GgufFile, ggufConfig, readValues } from '../../../src/checkpoint/index.js';
import { exportModel } from '../../../src/export/index.js';
import type { Files, Target } from '../target.js';
import { modelFiles } from './models.js';
import { tokenizerFiles } from './tokenizers.js';

async function exported(type: 'f16' | 'q8_0'): Promise<Files> {
  const folder = mkdtempSync(join(tmpdir(), 'llm-drop-fuzz-input-'));
  for (const [name, content] of Object.entries({ ...(await modelFiles('llama')), ...tokenizerFiles }))
    writeFileSync(join(folder, name), content);
  const out = join(folder, 'out.gguf');
  await exportModel(folder, { to: 'gguf', out, type, backend: 'reference' });
  const files = { 'model.gguf': readFileSync(out) };
  rmSync(folder, { recursive: true });
  return files;
}

export const ggufTargets: readonly Target[] = [
  {
    name: 'gguf',
    share: 12,
    inputs: async () => Promise.all([exported('f16'), exported('q8_0')]),
    read: async (folder) => {
      await using file = await GgufFile.open(join(folder, 'model.gguf'));
      ggufConfig(file);
      for (const name of file.tensorNames()) await readValues(file.source(name));
    },
  },
];
