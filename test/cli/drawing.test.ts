/** What people see: progress, bars, tables, pictures, and text as it is generated. */
import { describe, expect, it } from 'vitest';
import { barChart } from '../../src/cli/barChart.js';
import { layerPicture } from '../../src/cli/layerPicture.js';
import { ProgressLine } from '../../src/cli/progressLine.js';
import { table } from '../../src/cli/table.js';
import { TextStream } from '../../src/checkpoint/index.js';
import { Ui } from '../../src/cli/ui.js';
import { formatBytes, formatDuration, formatRate } from '../../src/cli/units.js';

/** Ten updates, a second apart from the start. */
function tenSeconds(isTTY: boolean, unit = 'rows'): string {
  let [time, told] = [0, ''];
  const line = new ProgressLine({ write: (text: string) => (told += text), isTTY, columns: 80 }, 'scoring', () => time);
  for (let done = 1; done <= 25; done++) {
    time += 1000;
    line.update(done, 100, unit);
  }
  line.clear();
  return told;
}

describe('progress', () => {
  it('comes as plain lines every ten seconds, after the first two', () =>
    expect(tenSeconds(false)).toBe(
      'scoring: 2 of 100 rows, 1 rows/s, 1 min 38 s left\nscoring: 12 of 100 rows, 1 rows/s, 1 min 28 s left\nscoring: 22 of 100 rows, 1 rows/s, 1 min 18 s left\n',
    ));

  it('rewrites its line on a terminal and takes it away at the end', () => {
    const told = tenSeconds(true);
    expect(told.split('\r\u001b[K')).toHaveLength(1 + 24 + 1);
    expect(told).not.toContain('\n');
    expect(told.endsWith('\r\u001b[K')).toBe(true);
  });

  it('counts bytes as bytes', () => expect(tenSeconds(false, 'bytes')).toMatch(/^scoring: 2 B of 100 B, 1 B\/s, /));

  it('is silent with --json, unless stderr is a terminal; and ends the work after Ctrl-C', () => {
    const abort = new AbortController();
    const stderr = { write: (): never => expect.unreachable('progress was shown') };
    const progress = new Ui({ stdout: stderr, stderr, signal: abort.signal }, true).progress('scoring');
    progress(1, 2, 'rows');
    abort.abort();
    expect(() => progress(2, 2, 'rows')).toThrow('aborted');
  });
});

describe('bars', () => {
  it('are in proportion, on one scale, with nothing where there is no score', () => {
    const lines = barChart(
      [
        { name: 'a', values: [0.5, null, 1] },
        { name: 'b', values: [0.75, 0.5, 0.5] },
      ],
      { width: 60 },
    );
    const bars = (line: string): number[] =>
      [...line.matchAll(/\d\.\d{4} ([█▏▎▍▌▋▊▉]*)/g)].map(([, bar]) => bar.length);
    expect(lines).toHaveLength(5);
    expect(lines[4]).toBe('bars from 0.47 to 1.00');
    expect(lines[2]).toMatch(/^ +1 +- +0\.5000 /);
    expect(bars(lines[3])[0]).toBeGreaterThan(bars(lines[1])[1]);
    expect(bars(lines[1])[1]).toBeGreaterThan(bars(lines[1])[0]);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(60);
  });

  it('are not flattened by one outlier', () => {
    const lines = barChart([{ name: 'a', values: [0.1, 0.96, 0.97, 0.98, 0.99] }]);
    expect(lines[1]).toMatch(/ 0\.1000$/);
    expect(lines.at(-1)).toBe('bars from 0.95 to 0.99');
  });

  it('are drawn of scores that are all the same, or all missing', () => {
    expect(barChart([{ name: 'a', values: [1, 1] }])).toHaveLength(4);
    expect(barChart([{ name: 'a', values: [null] }])).toHaveLength(3);
  });
});

it('a table lines up, numbers to the right', () =>
  expect(
    table([
      ['', 'loss', 'layers'],
      ['nothing', '1.5', ''],
      ['2', '12.25', '[1]'],
    ]),
  ).toEqual(['          loss  layers', 'nothing    1.5', '2        12.25  [1]']));

it('a picture has one sign a layer in groups of eight', () =>
  expect(layerPicture(10, { attention: [1, 9], mlp: [] })).toEqual([
    'layer      0        8',
    'attention  █·██████ █·',
    'MLP        ████████ ██',
  ]));

it.each([
  [formatBytes(999), '999 B'],
  [formatBytes(1000), '1 kB'],
  [formatBytes(1_234_567), '1.23 MB'],
  [formatBytes(999_999), '1 MB'],
  [formatDuration(59.4), '59 s'],
  [formatDuration(188), '3 min 8 s'],
  [formatDuration(7500), '2 h 5 min'],
  [formatRate(0.12345), '0.123'],
  [formatRate(1234.5), '1235'],
])('%s is %s', (formatted, expected) => expect(formatted).toBe(expected));

describe('text as it comes', () => {
  /** Every byte is a token; the first space of a text is left out, as some decoders do. */
  const tokenizer = {
    decode: (ids: ArrayLike<number>): string => new TextDecoder('utf-8').decode(Uint8Array.from(ids)).replace(/^ /, ''),
  };
  const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];

  it.each(['plain words', 'naïve 日本語 👩‍🚀 done', ' a space first'])(
    '%j arrives whole, no character in pieces',
    (text) => {
      const stream = new TextStream(tokenizer, bytes('prompt'));
      const pieces = bytes(text).map((id) => stream.push(id));
      expect(pieces.join('') + stream.end()).toBe(text);
      for (const piece of pieces) expect(piece).not.toContain('\uFFFD');
    },
  );

  it('an incomplete character at the end shows', () => {
    const stream = new TextStream(tokenizer, bytes('prompt'));
    const pieces = bytes('é')
      .slice(0, 1)
      .map((id) => stream.push(id));
    expect([...pieces, stream.end()]).toEqual(['', '\uFFFD']);
  });
});
