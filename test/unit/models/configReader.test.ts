import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/engine/index.js';
import { ConfigReader } from '../../../src/models/configReader.js';

const reader = (raw: Record<string, unknown>): ConfigReader => new ConfigReader(raw, 'model/config.json');

/** What reading throws: always a UserError that begins with the file. */
function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(/^model\/config\.json: /);
    return (error as UserError).message.slice('model/config.json: '.length);
  }
  return expect.unreachable('nothing was refused');
}

describe('a value', () => {
  it('is what the key holds; null is as absent', () => {
    const read = reader({ list: [1], zero: 0, no: false, empty: '', nothing: null });
    expect(['list', 'zero', 'no', 'empty'].map((key) => read.value(key))).toEqual([[1], 0, false, '']);
    expect([read.value('nothing'), read.value('absent')]).toEqual([undefined, undefined]);
  });

  it('that was asked for is remembered, whether it is there or not, and however it is read', () => {
    const read = reader({ a: 1, b: 2, c: 'x', d: true, unread: 3 });
    expect([...read.asked]).toEqual([]);
    read.number('a');
    read.count('b');
    read.text('c');
    read.flag('d');
    read.optionalCount('e');
    read.value('f');
    read.number('a');
    expect([...read.asked].sort()).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });
});

describe('a number', () => {
  it('may be any that is finite', () => {
    const read = reader({ half: -0.5, zero: 0 });
    expect([read.number('half'), read.number('zero')]).toEqual([-0.5, 0]);
  });

  it('that is absent has its default, and one that is null has none', () => {
    const read = new ConfigReader({ nothing: null, here: 3 }, 'x', undefined, { nothing: 7, absent: 7, here: 7 });
    expect([read.number('absent'), read.number('here')]).toEqual([7, 3]);
    expect([read.optionalCount('nothing'), read.optionalCount('absent')]).toEqual([undefined, 7]);
    expect(() => read.number('nothing')).toThrow('nothing is missing');
  });

  it('that is missing or none is refused by key and value', () => {
    expect(refusal(() => reader({}).number('size'))).toBe('size is missing');
    expect(refusal(() => reader({ size: null }).number('size'))).toBe('size is missing');
    expect(refusal(() => reader({ size: '8' }).number('size'))).toBe('size must be a number, found "8"');
    expect(refusal(() => reader({ size: [8] }).number('size'))).toBe('size must be a number, found [8]');
    expect(refusal(() => reader({ size: Infinity }).number('size'))).toMatch(/^size must be a number/);
  });
});

describe('a count', () => {
  it('is a whole number of at least 1', () => {
    expect(reader({ layers: 3 }).count('layers')).toBe(3);
    for (const layers of [0, -1, 1.5])
      expect(refusal(() => reader({ layers }).count('layers'))).toBe(
        `layers must be a whole number of at least 1, found ${layers}`,
      );
  });

  it('that may be absent is undefined then, and no less strict otherwise', () => {
    expect(reader({ window: null }).optionalCount('window')).toBeUndefined();
    expect(reader({}).optionalCount('window')).toBeUndefined();
    expect(reader({ window: 7 }).optionalCount('window')).toBe(7);
    expect(refusal(() => reader({ window: 0 }).optionalCount('window'))).toMatch(/^window must be a whole number/);
  });
});

describe('a text and a flag', () => {
  it('a text must be there', () => {
    expect(reader({ model_type: 'llama' }).text('model_type')).toBe('llama');
    for (const raw of [{}, { model_type: null }, { model_type: 5 }])
      expect(refusal(() => reader(raw).text('model_type'))).toMatch(/^model_type is missing: .*"llama"/);
  });

  it('a flag is true or false, and false where it is absent', () => {
    const read = reader({ yes: true, no: false, one: 1, word: 'true', nothing: null });
    expect(['yes', 'no', 'nothing', 'absent'].map((key) => read.flag(key))).toEqual([true, false, false, false]);
    expect(refusal(() => read.flag('one'))).toBe('one must be true or false, found 1');
    expect(refusal(() => read.flag('word'))).toBe('word must be true or false, found "true"');
  });

  it('tokens are one id or several, and none where they are negative', () => {
    const read = reader({ one: 2, several: [2, 3], none: -1, nothing: null });
    expect(['one', 'several', 'none', 'nothing', 'absent'].map((key) => read.tokens(key))).toEqual([
      ...[[2], [2, 3], [], [], []],
    ]);
    for (const id of ['2', 1.5, 2 ** 53, true, [[2]], { a: 1 }])
      expect(refusal(() => reader({ id }).tokens('id'))).toMatch(/^id must be the id of a token, found /);
  });
});

it('what a family finds wrong is told with its file, and with a hint', () => {
  expect(refusal(() => reader({}).fail('heads do not divide'))).toBe('heads do not divide');
  expect(refusal(() => reader({}).fail('heads do not divide', 'take 4'))).toBe('heads do not divide (take 4)');
});
