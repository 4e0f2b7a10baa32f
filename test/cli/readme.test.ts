/** The README's examples, run as they stand there on the built package. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const examples = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/```ts\n(.*?)```/gs)].map(
  ([, code]) => code,
);
const built = existsSync(join(root, 'dist/index.js'));
if (!built) console.warn('skipped: the README examples need a build (npm run build)');

describe.skipIf(!built)('README', () => {
  // Below the package, so that it finds itself by its own name.
  const folder = built ? mkdtempSync(join(root, 'dist/readme-')) : '';
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('has a library example and a property test', () => expect(examples.length).toBeGreaterThanOrEqual(2));

  it.each(examples.map((code, i) => [i + 1, code] as const))(
    'example %i runs',
    (i, code) => {
      const { outputText } = ts.transpileModule(code, {
        compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
      });
      const file = join(folder, `example${i}.mjs`);
      writeFileSync(file, outputText);
      // A text for the example that names one: stories of the model itself.
      const story = readFileSync(join(root, 'models/tiny-stories/calibration.txt'), 'utf8');
      writeFileSync(join(folder, 'stories.txt'), story);
      rmSync(join(folder, 'smaller'), { recursive: true, force: true });
      if (!existsSync(join(folder, 'models'))) execFileSync('ln', ['-s', join(root, 'models'), join(folder, 'models')]);
      execFileSync(process.execPath, [file], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 });
    },
    150_000,
  );
});
