// Scoring with llm-drop: node scoring_llmdrop.mjs '{"dist", "folder", "threads", "rows": FILE}'
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { serve } from '../serve.mjs';

const { dist, folder, threads, rows: file } = JSON.parse(process.argv[2]);
const lib = await import(pathToFileURL(join(dist, 'index.js')).href);
const rows = JSON.parse(readFileSync(file, 'utf8')).map((row) => Int32Array.from(row));
const engine = await lib.createEngine('wasm', { threads, v8Flags: true });
const model = await lib.loadModel(folder, { engine });

async function score() {
  const start = performance.now();
  const { tokens, similarity, blockConsecutive } = await lib.scoreImportance(model, rows);
  const rate = (1000 * tokens) / (performance.now() - start);
  const windows = blockConsecutive.map((gaps) => gaps.filter((score) => score !== null));
  return { rate, similarities: { attention: similarity.attention, mlp: similarity.mlp, windows } };
}

await serve({ name: 'llm-drop', ...engine.backend.abilities, dtype: 'float32' }, { score });
