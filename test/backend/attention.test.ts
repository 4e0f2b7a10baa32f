import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createBatch, lastRows } from '../../src/engine/batch.js';
import { UnsupportedOpError } from '../../src/engine/errors.js';
import type { BackendName } from '../../src/engine/backend.js';
import type { Engine } from '../../src/engine/engine.js';
import { Pair, againstReference, backends, floats, holds, random, seed, unchanged } from '../support/backends.js';
import { expectClose, unitRoundoff } from '../support/expectClose.js';
import { wasmWithSmallTiles } from '../support/smallTiles.js';

const heads = fc.record({
  keyValueHeads: fc.constantFrom(1, 2, 3),
  group: fc.constantFrom(1, 2, 3, 5),
  headDim: fc.constantFrom(2, 4, 6, 8, 12, 16, 18, 32, 64),
});
const options = fc.record({
  rotary: fc.constantFrom('none', 'whole', 'part'),
  slopes: fc.boolean(),
  window: fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined }),
  softCap: fc.option(fc.constantFrom(2, 30), { nil: undefined }),
});

interface Case {
  readonly seed: number;
  readonly heads: { keyValueHeads: number; group: number; headDim: number };
  readonly options: { rotary: 'none' | 'whole' | 'part'; slopes?: boolean; window?: number; softCap?: number };
}

/** Attention over passes of several sequences; rows of all passes, or of `last` tokens, one after another. */
async function attend(
  engine: Engine,
  { seed, heads, options }: Case,
  passes: readonly (readonly number[])[],
  cacheType?: 'float32' | 'float16',
  last = false,
): Promise<Float32Array> {
  const { keyValueHeads, group, headDim } = heads;
  const slots = passes[0].length;
  const lengths = passes[0].map((_, slot) => passes.reduce((sum, pass) => sum + pass[slot], 0));
  const longest = Math.max(...lengths);
  // A part of a head: its first half, or the first two of its elements.
  const half = options.rotary === 'part' ? Math.max(1, Math.floor(headDim / 4)) : headDim / 2;
  const angles = Float32Array.from(
    { length: longest * half },
    (_, i) => Math.floor(i / half) * 10 ** (-(i % half) / half),
  );
  const rotary =
    options.rotary === 'none'
      ? undefined
      : {
          cos: engine.tensor(angles.map(Math.cos), [longest, half]),
          sin: engine.tensor(angles.map(Math.sin), [longest, half]),
        };
  const count = keyValueHeads * group;
  // Press et al.: from 1/2 down, each head by the same factor less.
  const slopes = options.slopes
    ? engine.tensor(Float32Array.from({ length: count }, (_, i) => 2 ** ((-8 * (i + 1)) / count)))
    : undefined;
  const spec = { heads: count, keyValueHeads, headDim, scale: headDim ** -0.5, ...options, rotary, slopes };
  const cache =
    cacheType &&
    engine.createCache({ layers: [3], slots, capacity: longest, keyValueHeads, headDim, dtype: cacheType });
  const results: number[] = [];
  const starts = lengths.map(() => 0);
  for (const [at, pass] of passes.entries()) {
    const some = pass.flatMap((length, slot) => (length > 0 ? [slot] : []));
    const batch = createBatch(
      some.map((slot) => new Int32Array(pass[slot])),
      some.map((slot) => starts[slot]),
      some,
    );
    const rows = batch.tokens.length;
    const input = (offset: number, count: number) => floats(engine, seed + 3 * at + offset, [rows, count * headDim]);
    const queries = input(0, spec.heads);
    const asked = last ? engine.gather(queries, lastRows(batch)) : queries;
    results.push(
      ...(await engine.readFloats(
        engine.attention({
          q: asked,
          k: input(1, keyValueHeads),
          v: input(2, keyValueHeads),
          cache,
          layer: 3,
          batch,
          spec,
        }),
      )),
    );
    cache?.advance(batch);
    pass.forEach((length, slot) => (starts[slot] += length));
  }
  cache?.dispose();
  return Float32Array.from(results);
}

/**
 * A score is a sum of d products below 2 (rotation grows an element to sqrt 2) over sqrt d, off by d + 8 roundings of that
 * (or those of its keys' storage); a weight by twice a score's error relatively, so a mean of values below 1 by as much,
 * and by n roundings of its own. With slopes a score grows to the number of keys, and is off by 2 roundings of that.
 */
function tolerance({ heads: { headDim }, options }: Case, keys: number, storage = 0): number {
  const score = ((headDim + 8) * unitRoundoff + storage) * 2 * Math.sqrt(headDim);
  const slopes = options.slopes ? 4 * keys * unitRoundoff : 0;
  return 2 * score + (keys + 16) * unitRoundoff + slopes + storage;
}

const attention = (pair: () => Pair, backend: BackendName): void => {
  holds(
    'within a batch of sequences',
    fc.record({
      seed,
      heads,
      options,
      lengths: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 3 }),
    }),
    async ({ lengths, ...one }) => {
      const [actual, expected] = await pair().run((engine) => attend(engine, one, [lengths]));
      expectClose(actual, expected, tolerance(one, 40));
    },
  );

  const passes = fc.integer({ min: 1, max: 3 }).chain((slots) =>
    fc
      .array(fc.array(fc.integer({ min: 0, max: 20 }), { minLength: slots, maxLength: slots }), {
        minLength: 1,
        maxLength: 4,
      })
      .filter((all) => all.every((pass) => pass.some((n) => n > 0))),
  );

  holds('continued in a cache', fc.record({ seed, heads, options, passes }), async ({ passes, ...one }) => {
    const [actual, expected] = await pair().run((engine) => attend(engine, one, passes, 'float32'));
    expectClose(actual, expected, tolerance(one, 80));
  });

  if (backend === 'tfjs')
    it('refuses a 16-bit cache', () => {
      const spec = { layers: [0], slots: 1, capacity: 1, keyValueHeads: 1, headDim: 2, dtype: 'float16' as const };
      expect(() => pair().device.createCache(spec)).toThrow(UnsupportedOpError);
    });
  else
    holds(
      'continued in a 16-bit cache',
      fc.record({ seed, heads, options, passes }),
      async ({ passes, ...one }) => {
        const [actual, expected] = await pair().run((engine) => attend(engine, one, passes, 'float16'));
        // Where rounding to float32 differs, rounding to float16 may too: by 2^-10 of an element.
        expectClose(actual, expected, tolerance(one, 80, 2 ** -10));
      },
      15,
    );

  holds(
    "asked for each sequence's last token alone, gives its rows",
    fc.record({
      seed,
      heads,
      options,
      lengths: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 3 }),
      start: fc.constantFrom(0, 3, 20),
      cache: fc.constantFrom(...(backend === 'tfjs' ? (['float32'] as const) : (['float32', 'float16'] as const))),
    }),
    async ({ lengths, start, cache, ...one }) => {
      const passes = start > 0 ? [lengths.map(() => start), lengths] : [lengths];
      const type = start > 0 || one.seed % 2 ? cache : undefined;
      const [actual, expected] = await pair().run((engine) => attend(engine, one, passes, type, true));
      expectClose(actual, expected, tolerance(one, 60, type === 'float16' ? 2 ** -10 : 0));
      // Of all rows on the reference, those of the last tokens.
      const [whole] = await new Pair(pair().reference, pair().reference).run((engine) =>
        attend(engine, one, passes, type),
      );
      const width = one.heads.keyValueHeads * one.heads.group * one.heads.headDim;
      let end = 0;
      const ends = passes.flatMap((pass) => pass.map((length) => (end += length)));
      expect(expected).toEqual(
        Float32Array.from(ends.flatMap((row) => Array.from(Array.from(whole).slice((row - 1) * width, row * width)))),
      );
    },
  );

  it('goes on over many keys', async () => {
    const one = { seed: 1, heads: { keyValueHeads: 1, group: 2, headDim: 8 } };
    for (const options of [
      { rotary: 'whole', window: 600 },
      { rotary: 'part', slopes: true, softCap: 30 },
    ] as const) {
      const each = { ...one, options };
      const [actual, expected] = await pair().run((engine) => attend(engine, each, [[700], [3], [1]], 'float32'));
      expectClose(actual, expected, tolerance(each, 700));
    }
  });
};

againstReference('attention', attention, [...backends, ...wasmWithSmallTiles]);

it('wasm: a token is the same in one pass and one at a time', async () => {
  const { createEngine } = await import('../../src/engine/createEngine.js');
  using engine = await createEngine('wasm');
  await unchanged(engine, async () => {
    const [rows, headDim] = [70, 16];
    const slopes = floats(engine, 4, [6]);
    for (const special of [{}, { window: 21 }, { slopes }, { slopes, softCap: 3 }]) {
      const spec = { heads: 6, keyValueHeads: 2, headDim, scale: 0.25, ...special };
      const [q, k, v] = [random(1, [rows, 96]), random(2, [rows, 32]), random(3, [rows, 32])].map((values, i) =>
        engine.tensor(values, [rows, i ? 32 : 96]),
      );
      const whole = await engine.readFloats(
        engine.attention({ q, k, v, layer: 0, batch: createBatch([new Int32Array(rows)]), spec }),
      );
      using cache = engine.createCache({
        layers: [0],
        slots: 1,
        capacity: rows,
        keyValueHeads: 2,
        headDim,
        dtype: 'float32',
      });
      for (let row = 0; row < rows; row++) {
        const batch = createBatch([[0]], [row]);
        const y = engine.attention({
          q: q.rows(row, row + 1),
          k: k.rows(row, row + 1),
          v: v.rows(row, row + 1),
          cache,
          layer: 0,
          batch,
          spec,
        });
        cache.advance(batch);
        expect(await engine.readFloats(y)).toEqual(whole.slice(row * 96, (row + 1) * 96));
      }
    }
  });
});
