/** What the library says of its options, told to who knows flags. */
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { flagOf, withFlags } from '../../../src/cli/flagNames.js';

describe('an option in backticks', () => {
  const names = {
    options: { maxMemory: {}, text: {}, dropAttn: {} },
    renamed: { texts: 'text', 'drops.attention': 'dropAttn' },
  };

  it.each([
    ['allow more with `maxMemory`, or not', 'allow more with --max-memory, or not'],
    ['`text` and `maxMemory` 2GB', '--text and --max-memory 2GB'],
    ['name one with `texts`', 'name one with --text'],
    ['`drops.attention` names layer 9', '--drop-attn names layer 9'],
  ])('%j is its flag', (told, expected) => expect(withFlags(told, names)).toBe(expected));

  it.each([
    '`zero` is no option of this command',
    'a tick ` alone',
    '`constructor` and `toString`',
    'maxMemory unquoted',
  ])('%j stays', (told) => expect(withFlags(told, names)).toBe(told));
});

it('a flag is its option in words', () => expect(flagOf('maxNewTokens')).toBe('--max-new-tokens'));

const src = fileURLToPath(new URL('../../../src', import.meta.url));

/** Texts in code that name a flag, but for whole command lines of `llm-drop`. */
function flagsIn(source: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node) || ts.isTemplateExpression(node)) {
      const text = node.getText();
      if (text.includes('llm-drop ')) return;
      if (/(^|[^\w-])--[a-z]/.test(text)) found.push(text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('a.ts', source, ts.ScriptTarget.Latest, true));
  return found;
}

describe('the library names no flags', () => {
  it('which would be found', () => {
    expect(flagsIn("throw new UserError('give --overwrite');")).toEqual(["'give --overwrite'"]);
    expect(flagsIn('hint(`${a} with --zero`);')).toEqual(['`${a} with --zero`']);
    expect(flagsIn("// --zero\nhint('llm-drop score --out writes it', --x);")).toEqual([]);
  });

  // A model card holds command lines, and V8 has flags of its own.
  const others = [/^cli\//, /^export\/modelCard\.ts$/, /\/tier\.ts$/];
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .map((path) => relative(src, join(src, path)))
    .filter((path) => path.endsWith('.ts') && !others.some((other) => other.test(path)));

  it.each(files)('%s', (path) => expect(flagsIn(readFileSync(join(src, path), 'utf8'))).toEqual([]));
});
