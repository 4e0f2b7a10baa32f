import * as fc from 'fast-check';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { drawRows, splitRows, sweepRows } from '../../../src/text/index.js';
import { calibrationRows, type CalibrationOptions } from '../../../src/text/calibrationRows.js';
import { loadTokenizer } from '../../../src/checkpoint/index.js';
import { UserError } from '../../../src/engine/index.js';
import { absent, inShared, temporaryFolder } from '../checkpoint/places.js';

const root = temporaryFolder();
/** A token is a letter's code; EOS is 0. */
const letters = { encode: (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0)), eosId: 0 };
function fileOf(...documents: string[]): string {
  const path = join(mkdtempSync(join(root, 'rows-')), 'text.jsonl');
  writeFileSync(path, documents.map((text) => `${JSON.stringify({ text })}\n`).join(''));
  return path;
}
/** Rows as text, EOS as a dot. */
const shown = (rows: Int32Array[]): string[] => rows.map((row) => String.fromCharCode(...row).replaceAll('\0', '.'));
const rowsOf = async (files: string[], o: CalibrationOptions): Promise<string[]> =>
  shown((await calibrationRows(letters, files, o)).rows);

describe('calibration rows', () => {
  it('are the documents, each with EOS, concatenated and cut; the remainder is discarded', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.stringMatching(/^[a-z]{0,9}$/), { minLength: 1, maxLength: 9 }),
        fc.integer({ min: 2, max: 7 }),
        async (documents, length) => {
          const stream = documents.map((document) => `${document}.`).join('');
          const all = Array.from({ length: Math.floor(stream.length / length) }, (_, i) =>
            stream.slice(i * length, (i + 1) * length),
          );
          const rows = rowsOf([fileOf(...documents)], { samples: 100, length });
          const refused = (error: unknown): string[] => (error instanceof UserError ? [] : [String(error)]);
          expect(await rows.catch(refused)).toEqual(all);
        },
      ),
      { numRuns: 60 },
    );
  });

  describe('with a beginning-of-text token', () => {
    /** `<`, in rows as text. */
    const marked = { ...letters, bosId: '<'.charCodeAt(0) };
    const marks = async (documents: string[], o: CalibrationOptions): Promise<string[]> =>
      shown((await calibrationRows(marked, [fileOf(...documents)], o)).rows);
    const documents = ['abc', '', 'defgh', 'i'];

    it('have it before each document, in place of EOS', async () =>
      expect(await marks(documents, { length: 4, samples: 9, bos: 'document' })).toEqual(['<abc', '<<de', 'fgh<']));
    it('have it over the first token of each, and are else as without it', async () =>
      expect(await marks(documents, { length: 4, samples: 9, bos: 'row' })).toEqual(['<bc.', '<def', '<h.i']));
    it('are documents alone behind it, cut to the length; those without a token to predict are left out', async () => {
      expect(await marks(documents, { length: 4, samples: 9, bos: 'alone' })).toEqual(['<abc', '<def', '<i']);
      expect(await marks(documents, { length: 4, samples: 2, skip: 1, bos: 'alone' })).toEqual(['<def', '<i']);
    });
    it('are what they were where it is put nowhere', async () =>
      expect(await marks(documents, { length: 4, samples: 9 })).toEqual(
        await rowsOf([fileOf(...documents)], { length: 4, samples: 9 }),
      ));
    it('need one', async () =>
      expect(rowsOf([fileOf('abc')], { length: 2, bos: 'row' })).rejects.toThrow(
        'the tokenizer names no beginning-of-text token (BOS), which `bos` puts (set bos_token in tokenizer_config.json)',
      ));
    it('need no EOS where it parts documents', async () => {
      const { eosId: _, ...endless } = marked;
      const { rows } = await calibrationRows(endless as typeof marked, [fileOf('abc')], { length: 3, bos: 'document' });
      expect(shown(rows)).toEqual(['<ab']);
    });
  });

  it('come from several files in turn; one that runs out is passed over', async () => {
    const files = [fileOf('aaaaaaa'), fileOf('b'), fileOf('ccccc')];
    expect(await rowsOf(files, { samples: 9, length: 2 })).toEqual(['aa', 'b.', 'cc', 'aa', 'cc', 'aa', 'c.', 'a.']);
    expect(await rowsOf(files, { samples: 4, length: 2 })).toEqual(['aa', 'b.', 'cc', 'aa']);
  });

  it('behind the first ones are held out from them', async () => {
    const files = [fileOf('abcdefg'), fileOf('ABCDEFG')];
    const all = await rowsOf(files, { samples: 8, length: 2 });
    for (let skip = 0; skip < 8; skip++)
      expect(await rowsOf(files, { samples: 2, length: 2, skip })).toEqual(all.slice(skip, skip + 2));
    await expect(rowsOf(files, { samples: 2, length: 2, skip: 8 })).rejects.toThrow(
      'not one full row of 2 tokens behind the first 8: found 16 tokens, needed 18',
    );
  });

  it('are fewer than asked for when the text is shorter, and the note says so', async () => {
    const result = await calibrationRows(letters, [fileOf('abcde')], { samples: 4, length: 2, skip: 1 });
    expect(result).toMatchObject({
      length: 2,
      requested: 4,
      available: 3,
      note: '2 rows of 2 tokens instead of 4: the text holds no more behind the first 1',
    });
    expect(shown(result.rows)).toEqual(['cd', 'e.']);
    const enough = await calibrationRows(letters, [fileOf('abcde')], { samples: 3, length: 2 });
    expect([enough.rows.length, enough.note, enough.available]).toEqual([3, undefined, undefined]);
  });

  it('are no longer than the context of the model', async () => {
    const result = await calibrationRows(letters, [fileOf('abcde')], { samples: 2, length: 2048, maxLength: 3 });
    expect([result.length, result.note]).toEqual([
      3,
      "rows of 3 tokens instead of 2048: the model's context is no longer",
    ]);
  });

  it('are not of one token, whether that is asked for or the context of the model has no more', async () => {
    const file = fileOf('abcde');
    const makers = [calibrationRows, drawRows, splitRows] as const;
    for (const make of makers) {
      await expect(make(letters, [file], { samples: 2, length: 1 })).rejects.toThrow('`length` must be a whole number');
      await expect(make(letters, [file], { samples: 2, maxLength: 1 })).rejects.toThrow(
        "a row needs at least 2 tokens, but the model's context is 1",
      );
    }
    for (const texts of [undefined, [file]])
      await expect(sweepRows(letters, [file], { maxLength: 1, heldOut: 1, texts })).rejects.toThrow(
        "a row needs at least 2 tokens, but the model's context is 1",
      );
  });

  it('tokenize no more documents than they need', async () => {
    let documents = 0;
    const counted = { ...letters, encode: (text: string) => (documents++, letters.encode(text)) };
    await calibrationRows(counted, [fileOf('aaa', 'bbb', 'ccc', 'ddd')], { samples: 2, length: 3 });
    expect(documents).toBe(2);
  });

  it('that cannot be made are a clear error', async () => {
    const file = fileOf('abc');
    await expect(rowsOf([file], { length: 5 })).rejects.toThrow(
      `${file}: not one full row of 5 tokens: found 4 tokens, needed 5`,
    );
    await expect(rowsOf([], {})).rejects.toThrow('no calibration text is given');
    await expect(rowsOf([file], { samples: 0 })).rejects.toThrow(
      '`samples` must be a whole number of at least 1, found 0',
    );
    await expect(rowsOf([file], { length: 1.5 })).rejects.toThrow(
      '`length` must be a whole number of at least 2, found 1.5',
    );
    await expect(rowsOf([file], { skip: -1 })).rejects.toThrow('`skip` must be');
    await expect(calibrationRows({ ...letters, eosId: undefined }, [file])).rejects.toThrow(
      'names no end-of-text token',
    );
  });
});

// SMOLLM2 names the folder that ../shared/tools/hf_from_gguf.py makes of the GGUF in ../shared/models.
const smolLm2 = process.env.SMOLLM2 ?? join(tmpdir(), 'smollm2');
describe.each([
  { name: 'stories260K', folder: inShared('models', 'stories260K'), text: inShared('data', 'tinystories.txt') },
  { name: 'SmolLM2-135M-Instruct', folder: smolLm2, text: inShared('data', 'c4_demo.jsonl') },
])('calibration rows of $name', ({ name, folder, text }) => {
  const oracle = inShared('oracle', `${name}.json`);
  it.skipIf(absent(join(folder, 'tokenizer.json'), text, oracle))("begin as transformers' do", async () => {
    const expected = JSON.parse(readFileSync(oracle, 'utf8')) as {
      samples: number;
      length: number;
      rows_head: number[];
    };
    const { rows, note } = await calibrationRows(await loadTokenizer(folder), [text], {
      samples: expected.samples,
      length: expected.length,
    });
    expect([...rows[0].subarray(0, 32)]).toEqual(expected.rows_head);
    expect([rows.length, note]).toEqual([expected.samples, undefined]);
  });
});
