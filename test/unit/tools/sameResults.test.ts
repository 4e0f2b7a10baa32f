/** What `tools/same_results.mjs` calls the same, and how it says where two results differ. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

interface Compare {
  readonly fileDifference: (a: string, b: string) => string | undefined;
  readonly jsonDifference: (left: string, right: string) => string | undefined;
  readonly stderrDifference: (left: string, right: string) => string | undefined;
}
const module = new URL('../../../tools/same_results/compare.mjs', import.meta.url);
const { fileDifference, jsonDifference, stderrDifference } = (await import(module.href)) as Compare;

describe('JSON', () => {
  it.each([
    ['a date', '{"a":1,"date":"2026-01-01","b":2}', '{"a":1,"date":"2027-12-31","b":2}'],
    ['versions', '{"versions":{"node":"20","llm-drop":"1"}}', '{"versions":{"node":"26"}}'],
    ['rates in a list', '[{"speedup":[1,2]},{"loss":1}]', '[{"speedup":[3]},{"loss":1}]'],
    ['NaN', '{"a":NaN}', '{"a":NaN}'],
  ])('is the same but for %s', (_, left, right) => expect(jsonDifference(left, right)).toBeUndefined());

  it.each([
    [
      'the last digit',
      '{"a":[1,{"b":0.1}]}',
      '{"a":[1,{"b":0.10000000000000002}]}',
      '.a[1].b: 0.1 / 0.10000000000000002',
    ],
    ['the sign of zero', '{"a":-0}', '{"a":0}', '.a: -0 / 0'],
    ['NaN and null', '{"a":NaN}', '{"a":null}', '.a: NaN / null'],
    ['how a number is written', '{"a":1}', '{"a":1.0}', '.a: 1 / 1.0'],
    ['the order of keys', '{"a":1,"b":2}', '{"b":2,"a":1}', '.a: "a" / "b"'],
    ['a key beside a masked one', '{"date":1,"loss":2}', '{"date":1,"loss":3}', '.loss: 2 / 3'],
    ['a longer list', '{"a":[]}', '{"a":[1]}', '.a: ] / 1'],
    ['spaces', '{"a":1}', '{"a": 1}', '.a: 1 /  '],
    ['a masked key that is missing', '{"a":1,"date":2}', '{"a":1}', 'document: , / }'],
    ['what is no JSON', 'text', '{"a":1}', 'text / {'],
    ['what comes behind a document', '{"a":1} {"b":2}', '{"a":1} {"b":3}', '{"b":2} / '],
  ])('differs in %s', (_, left, right, says) => expect(jsonDifference(left, right)).toContain(says));
});

describe('stderr', () => {
  it('is the same but for progress', () => {
    const progress =
      'loading: 1.2 MB of 3.4 MB, 3.1 MB/s, 1 s left\nscoring: 0 of 8 rows\nrefitting: 1 of 9 rows through modules, 2 rows through modules/s, 4 s left\n';
    expect(stderrDifference(`${progress}note: no loss is measured\n`, 'note: no loss is measured\n')).toBeUndefined();
  });

  it.each(['note: 3 of 8 rows', 'error: 3 of 8 rows'])('differs in %s', (line) =>
    expect(stderrDifference(`${line}\n`, '')).toBe(`line 1: ${line} / `),
  );
});

describe('files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'llm-drop-same-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const difference = (name: string, left: Uint8Array, right: Uint8Array): string | undefined => {
    const [a, b] = ['a', 'b'].map((side) => join(folder, `${side}-${name}`));
    writeFileSync(a, left);
    writeFileSync(b, right);
    return fileDifference(a, b);
  };
  const safetensors = (...values: number[]): Uint8Array => {
    const header = JSON.stringify({
      first: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
      second: { dtype: 'F32', shape: [2, 1], data_offsets: [8, 16] },
    });
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([length, Buffer.from(header), Buffer.from(Float32Array.from(values).buffer)]);
  };

  it('name the tensor and its element', () => {
    expect(difference('x.safetensors', safetensors(1, 2, NaN, 4), safetensors(1, 2, NaN, 4))).toBeUndefined();
    expect(difference('x.safetensors', safetensors(1, 2, 3, NaN), safetensors(1, 2, 3, 4))).toBe(
      'tensor second, element 1: NaN (0000c07f) / 4 (00008040)',
    );
  });

  it('name the line of a text, and the byte of anything else', () => {
    expect(difference('x.md', Buffer.from('a\nb'), Buffer.from('a\nc'))).toBe('line 2: b / c');
    expect(difference('x.gguf', Buffer.from([255, 1, 2]), Buffer.from([255, 1]))).toBe('byte 2: 02 / the end');
  });
});
