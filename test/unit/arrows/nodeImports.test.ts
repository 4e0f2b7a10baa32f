import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const checkout = fileURLToPath(new URL('../../..', import.meta.url));

/** Files that import a module of Node, in a project with the arrows of this one. */
const planted: Record<string, string> = {
  'src/engine/planted.ts': "import { readFileSync } from 'node:fs';\nexport const read = readFileSync;\n",
  'src/engine/wasm/planted.ts': "import { cpus } from 'os';\nexport const cores = () => cpus().length;\n",
  'src/models/planted.ts': "export const later = async () => (await import('node:timers/promises')).setImmediate();\n",
  'src/engine/hosts/node.ts': "import { totalmem } from 'node:os';\nexport const memory = totalmem;\n",
  'src/checkpoint/file.ts': "import { open } from 'node:fs/promises';\nexport const openFile = open;\n",
  'src/index.ts': `export * from './engine/planted.js';
export * from './engine/wasm/planted.js';
export * from './models/planted.js';
export * from './engine/hosts/node.js';
export * from './checkpoint/file.js';
`,
};

// Where the engine has no hosts yet, Node is imported all over it.
describe.skipIf(!existsSync(join(checkout, 'src/engine/hosts')))('Node in the engine and the models', () => {
  const root = mkdtempSync(join(tmpdir(), 'llm-drop-arrows-'));
  afterAll(() => rmSync(root, { recursive: true }));

  it('is imported by hosts alone', () => {
    for (const name of ['.dependency-cruiser.cjs', 'tsconfig.json', 'tsconfig.build.json', 'package.json'])
      cpSync(join(checkout, name), join(root, name));
    symlinkSync(join(checkout, 'node_modules'), join(root, 'node_modules'));
    for (const [path, text] of Object.entries(planted)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const depcruise = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
    const config = ['--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'src'];
    const { stdout, stderr } = spawnSync(process.execPath, [depcruise, ...config], { cwd: root, encoding: 'utf8' });
    expect(stderr).toBe('');
    const { summary } = JSON.parse(stdout) as { summary: { violations: { from: string; to: string }[] } };
    const leaving = summary.violations.filter(({ to }) => !to.startsWith('src/'));
    expect(leaving.map(({ from, to }) => `${from} -> ${to}`).sort()).toEqual([
      'src/engine/planted.ts -> fs',
      'src/engine/wasm/planted.ts -> os',
      'src/models/planted.ts -> timers/promises',
    ]);
  });
});
