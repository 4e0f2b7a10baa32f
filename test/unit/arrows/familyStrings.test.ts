import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const tool = fileURLToPath(new URL('../../../tools/family_strings.mjs', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'llm-drop-strings-'));
afterAll(() => rmSync(root, { recursive: true }));

const write = (path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};

/** The tool's report on the project in `root`, as `file:line [kind]`. */
function report(): { status: number | null; found: string[]; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [tool, '--root', root], { encoding: 'utf8' });
  return {
    status,
    found: [...stderr.matchAll(/^(\S+:\d+):\d+ (\[\w+\])/gm)].map(([, at, kind]) => `${at} ${kind}`),
    stderr,
  };
}

/** What a planted file asks, one question a line; the kind that is to be found in it. */
const planted: Record<string, [kind: string, line: string]> = {
  'a model type compared': ['type', "export const a = (c: ModelConfig) => c.modelType === 'llama';"],
  'a key of config.json': ['type', "export const a = (raw: Raw) => raw.model_type !== 'other';"],
  'a key in brackets, converted': [
    'type',
    "export const a = (raw: Raw) => String(raw['architectures']).includes('Llama');",
  ],
  'a type taken out by a pattern': [
    'type',
    'export const a = ({ modelType }: ModelConfig) => known.includes(modelType);',
  ],
  'a type under another name': ['type', "export const a = (kind: string) => kind === 'mixtral';"],
  'a switch': ['type', "export function a(c: ModelConfig) { switch (c.modelType) { case 'x': return 1; } return 2; }"],
  'a table of types': ['type', 'export const a = (c: ModelConfig) => words[c.modelType];'],
  'a path compared with anything': ['path', 'export const a = (w: WeightSpec, x: string) => w.path === x;'],
  'the beginning of a path': [
    'path',
    'export const a = (w: WeightSpec, kind: string) => w.path.startsWith(`${kind}.`);',
  ],
  'a path taken out of what is within': [
    'path',
    'export const a = ({ spec: { path } }: Placed) => path.endsWith("x");',
  ],
  'a path under a new name': ['path', 'export const a = ({ path: at }: WeightSpec) => /x/.test(at);'],
  'a path cut in pieces': ['path', "export const a = (w: WeightSpec) => w.path.split('.')[0];"],
  'a path that is a word': ['path', "export const a = (path: string) => path === 'embedding';"],
  'a literal path': ['name', "export const a = (x: string) => x === 'attention.q.weight';"],
  'a regular expression kept in a constant': [
    'name',
    'const outputs = /^mlp\\.(gate|up)\\./; export const a = (x: string) => outputs.test(x);',
  ],
  "a tensor's name": ['name', "export const a = (x: string) => x.includes('self_attn');"],
  "the end of a tensor's name": ['name', "export const a = (x: string) => x.endsWith('.weight');"],
  'a template': ['name', 'export const a = (x: string, i: number) => x === `model.layers.${i}.x`;'],
  'an imported name': ['name', 'export const a = (x: string) => x === headName;'],
  'a map asked by a path': ['name', "export const a = (m: Map<string, number>) => m.get('mlp.router');"],
  'a table of paths': [
    'name',
    "const t: Record<string, string> = { 'mlp.norm': 'x' }; export const a = (x: string) => t[x];",
  ],
};
const imports = [
  "import { headName, known, words, type ModelConfig, type Placed, type Raw, type WeightSpec } from '../models/models.js';",
  'export type Used = [ModelConfig, Placed, Raw, WeightSpec, typeof headName, typeof known, typeof words];',
];

beforeAll(() => {
  const compilerOptions = { target: 'ES2022', module: 'NodeNext', strict: true, types: [], noEmit: true };
  write('package.json', JSON.stringify({ type: 'module' }));
  write('tsconfig.build.json', JSON.stringify({ compilerOptions, include: ['src'] }));
  write(
    'src/models/models.ts',
    `export interface ModelConfig { readonly modelType: string; readonly layers: number }
export interface WeightSpec { readonly path: string; readonly name: string; readonly role: 'norm' | 'output' }
export interface Placed { readonly spec: WeightSpec }
export type Raw = Record<string, unknown>;
export const known: readonly string[] = [];
export const words: Record<string, string> = {};
export const headName = 'lm_head.weight';
`,
  );
  const asked =
    "export const isMine = (type: string, name: string) => type === 'mixtral' && name === 'lm_head.weight';";
  write('src/models/families/mixtral.ts', `export const mixtral = { types: ['llama', 'mixtral'] };\n${asked}\n`);
  write('src/checkpoint/gguf/keys.ts', "export const isHead = (key: string) => key === 'output_norm.weight';\n");
  write(
    'src/drop/clean.ts',
    `import type { ModelConfig, WeightSpec } from '../models/models.js';
export const isOutput = ({ role }: WeightSpec) => role === 'output';
export const said = ({ modelType }: ModelConfig) => \`a \${modelType} model\`;
export const isNamed = (c: Partial<ModelConfig>, w?: WeightSpec) => c.modelType !== undefined && w?.path !== undefined;
export const isFile = (file: { path: string }) => file.path.endsWith('.json');
export const help = (text: string) => text.includes('the output projections (o_proj, down_proj) stay');
export const kindOf = (kind: string) => kind === 'attention' || kind === 'mlp';
export const byPath = (m: Map<string, number>, w: WeightSpec) => m.get(w.path);
`,
  );
});

it('says nothing of roles, of files, of prose, and within families and file formats', () => {
  expect(report()).toEqual({ status: 0, found: [], stderr: '' });
});

describe('with a test by string planted', () => {
  let found: string[] = [];
  let status: number | null = 0;
  const cases = Object.entries(planted);
  const file = (i: number): string => `src/drop/planted${i}.ts`;
  beforeAll(() => {
    cases.forEach(([, [, line]], i) => write(file(i), [...imports, line, ''].join('\n')));
    ({ found, status } = report());
  });
  afterAll(() => cases.forEach((_, i) => rmSync(join(root, file(i)))));

  it('fails', () => expect(status).toBe(1));

  it.each(cases.map(([name, [kind]], i) => [name, kind, i] as const))('finds %s, by file and line', (_, kind, i) => {
    expect(found.filter((line) => line.startsWith(`${file(i)}:`))).toEqual([
      `${file(i)}:${imports.length + 1} [${kind}]`,
    ]);
  });
});

it('a folder of file formats may ask for the names in its files, not for model types', () => {
  write('src/checkpoint/gguf/planted.ts', "export const a = (x: string) => x === 'llama';\n");
  expect(report().found).toEqual(['src/checkpoint/gguf/planted.ts:1 [type]']);
});
