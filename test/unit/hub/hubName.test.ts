import { describe, expect, it } from 'vitest';
import { splitParts } from '../../../src/checkpoint/index.js';
import { includedFiles, parseHubName, pulledName, showHubName } from '../../../src/hub/index.js';

describe('names of the hub', () => {
  const main = { repository: 'org/name', revision: 'main', file: undefined };
  it.each([
    ['hf:org/name', main],
    ['hf:Qwen/Qwen2.5-0.5B', { ...main, repository: 'Qwen/Qwen2.5-0.5B' }],
    ['hf:org/name@v1.0', { ...main, revision: 'v1.0' }],
    ['hf:org/name@refs/pr/3', { ...main, revision: 'refs/pr/3' }],
    ['hf:org/name@feature%2Fx', { ...main, revision: 'feature/x' }],
    ['hf:org/name/a.Q4_0.gguf', { ...main, file: 'a.Q4_0.gguf' }],
    ['hf:org/name@v1/sub/a.gguf', { ...main, revision: 'v1', file: 'sub/a.gguf' }],
    ['hf:org/name@refs/pr/3/sub/a.gguf', { ...main, revision: 'refs/pr/3', file: 'sub/a.gguf' }],
  ])('%s', (text, name) => {
    expect(parseHubName(text)).toEqual(name);
    expect(showHubName(name)).toBe(text);
  });

  it('are not taken for paths, nor paths for names', () => {
    expect(parseHubName('hf:///org/name'.slice(3))).toBeUndefined();
    expect(parseHubName('hf://org/name')).toEqual(main);
    for (const wrong of [
      'hf:',
      'hf:a/b/c',
      'hf:/a/b',
      'hf:a/..',
      'hf:a/b@',
      'hf:a/b@../c',
      'hf:a/b/../c.gguf',
      'hf:a/b\\c',
    ])
      expect(() => parseHubName(wrong), wrong).toThrow(/names no model of the hub|expected a \.gguf file/);
  });

  it('are pulled with a revision of their own or another', () => {
    expect(pulledName('org/name')).toEqual(main);
    expect(pulledName('hf:org/name@v1', 'v2')).toEqual({ ...main, revision: 'v2' });
    expect(() => pulledName('org/name', '../v2')).toThrow(/^\.\.\/v2 is no revision/);
  });

  it('of files in a repository may be patterns', () => {
    const files = ['a.gguf', 'b/a.gguf', 'a[1].gguf', 'axgguf'].map((path) => ({ path, bytes: 1, checksum: '' }));
    const found = (...patterns: string[]) => includedFiles(files, patterns, 'org/name').map(({ path }) => path);
    expect(found('a.gguf')).toEqual(['a.gguf']);
    expect(found('*.gguf')).toEqual(['a.gguf', 'b/a.gguf', 'a[1].gguf']);
    expect(found('a[1].gguf', 'a?gguf')).toEqual(['a.gguf', 'a[1].gguf', 'axgguf']);
    expect(() => found('[')).toThrow(/^org\/name has no file \[ \(it has a\.gguf, /);
  });

  it('of a split GGUF file mean all parts', () => {
    expect(splitParts('x/a-00002-of-00003.gguf')).toEqual([1, 2, 3].map((i) => `x/a-0000${i}-of-00003.gguf`));
    expect(splitParts('a.gguf')).toEqual(['a.gguf']);
  });
});
