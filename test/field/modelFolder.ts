import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { tensorOfBytes, writeSafetensors, writeWeights } from '../../src/checkpoint/index.js';
import { createBatch, createEngine, type BackendName, type Engine } from '../../src/engine/index.js';
import { loadModel } from '../../src/models/index.js';
import type { FolderModel, Stored } from './randomModel.js';

export * from './randomModel.js';

/** Folders that are removed after the tests of the file. */
export class Folders {
  readonly root = mkdtempSync(join(tmpdir(), 'llm-drop-field-'));
  #count = 0;

  constructor() {
    afterAll(() => rmSync(this.root, { recursive: true, force: true }));
  }

  empty(): string {
    const folder = join(this.root, `model-${this.#count++}`);
    mkdirSync(folder);
    return folder;
  }

  /** Where something may be written. */
  vacant(): string {
    return join(this.root, `out-${this.#count++}`);
  }

  async write({ config, tensors }: FolderModel, { shardBytes }: { shardBytes?: number } = {}): Promise<string> {
    const folder = this.empty();
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    await writeWeights(folder, tensorsOf(tensors), { shardBytes });
    return folder;
  }
}

/** Writes one file of weights. */
export const writeFile = (path: string, tensors: Iterable<readonly [string, Stored]>): Promise<unknown> =>
  writeSafetensors(path, tensorsOf(tensors));

const tensorsOf = (tensors: Iterable<readonly [string, Stored]>): ReturnType<typeof tensorOfBytes>[] =>
  [...tensors].map(([name, { dtype, shape, bytes }]) => tensorOfBytes(name, dtype, shape, bytes));

/** Logits [8, V] of a folder, on an engine or a new one; the reference computes with stored integers exactly. */
export async function logits(folder: string, on: BackendName | Engine = 'reference'): Promise<Float32Array> {
  using made = typeof on === 'string' ? await createEngine(on, { threads: 1 }) : undefined;
  const engine = made ?? (on as Engine);
  await using model = await loadModel(folder, { engine });
  using _scope = engine.scope();
  return await engine.readFloats(model.logits(model.forward(createBatch([[1, 5, 2, 7, 3, 9, 4, 6]]))));
}

/** Float32 sums in another order, over three layers of at most 64 terms. */
export const bound = 1e-4;
