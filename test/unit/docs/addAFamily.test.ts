/** docs/add-a-family.md, done as it says in a copy of the source: the family that comes out computes as transformers does. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import type * as engines from '../../../src/engine/index.js';
import type * as models from '../../../src/models/index.js';
import { largestMagnitude } from '../../support/allBackends.js';
import { expectClose } from '../../support/expectClose.js';
import { readOracleCase } from '../../support/oracleCases.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'llm-drop-family-'));
afterAll(() => rmSync(project, { recursive: true }));

interface Piece {
  readonly file: string;
  /** The list or table of the file that it goes into; the whole file without one. */
  readonly into?: string;
  readonly code: string;
}

const pieces = (page: string): Piece[] =>
  [...page.matchAll(/^```ts file=(\S+)(?: add-to=(\S+))?\n([\s\S]*?)^```$/gm)].map(([, file, into, code]) => ({
    file,
    into,
    code,
  }));

function apply({ file, into, code }: Piece): void {
  const path = join(project, file);
  if (into === undefined) return writeFileSync(path, code);
  const before = readFileSync(path, 'utf8');
  const imported = /^import \{ (\w+) \}/.exec(code);
  const head = imported ? `${code}${before}` : before;
  const entry = imported ? `${imported[1]},` : code;
  const list = new RegExp(`^export const ${into}: .* = [[{]$`, 'm');
  expect(head, `${file} has ${into}`).toMatch(list);
  writeFileSync(
    path,
    head.replace(list, (line) => `${line}\n${entry}`),
  );
}

it('builds a family that computes as transformers does', async () => {
  cpSync(join(root, 'src'), join(project, 'src'), { recursive: true });
  cpSync(join(root, 'package.json'), join(project, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'));
  const found = pieces(readFileSync(join(root, 'docs/add-a-family.md'), 'utf8'));
  expect(found.map(({ file }) => file.split('/').at(-1))).toEqual(['seedOss.ts', 'index.ts', 'harmlessKeys.ts']);
  for (const piece of found) apply(piece);

  const { loadModel } = (await import(join(project, 'src/models/index.ts'))) as typeof models;
  const { createEngine, createBatch } = (await import(join(project, 'src/engine/index.ts'))) as typeof engines;
  const oracle = await readOracleCase({ name: 'seed-oss', folder: join(root, 'test/fixtures/examples/seed-oss') });
  using engine = await createEngine('reference');
  await using model = await loadModel(oracle.folder, { engine });
  const expectLogits = async (expected: Float32Array): Promise<void> => {
    using _scope = engine.scope();
    const logits = await engine.readFloats(model.logits(model.forward(createBatch(oracle.inputIds))));
    // As in test/model/oracle.test.ts: what float32 leaves of transformers' own numbers.
    expectClose(logits, expected, 1e-4 * largestMagnitude(expected));
  };
  await expectLogits(oracle.logits);
  model.skip({ attention: oracle.dropAttention, mlp: oracle.dropMlp });
  await expectLogits(oracle.droppedLogits);
});
