import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeFloats, encodeFloats } from '../../src/engine/halfFloat.js';
import { arraySource } from '../../src/engine/arraySource.js';
import type { BackendName } from '../../src/engine/backend.js';
import { createBatch } from '../../src/engine/batch.js';
import {
  againstReference,
  backends,
  type Pair,
  floats,
  holds,
  magnitudes,
  random,
  seed,
  size,
  unchanged,
  weight,
} from '../support/backends.js';
import { expectClose, unitRoundoff } from '../support/expectClose.js';
import { wasmWithSmallTiles } from '../support/smallTiles.js';

const dtype = fc.constantFrom('float32' as const, 'float16' as const, 'bfloat16' as const);

const projections = (pair: () => Pair, backend: BackendName): void => {
  holds(
    'linear with norm, bias and residual, of any stored type',
    fc.record({
      seed,
      dtype,
      rows: size(70),
      inner: fc.oneof(size(40), fc.constantFrom(511, 513, 1100)),
      out: size(40),
      norm: fc.boolean(),
      bias: fc.boolean(),
      add: fc.boolean(),
    }),
    async ({ seed, dtype, rows, inner, out, ...o }) => {
      const w = random(seed, [out, inner]);
      const work = (fused: boolean) =>
        pair().run(async (engine) => {
          using packed = await weight(engine, w, [out, inner], 'linear', dtype);
          const x = floats(engine, seed + 1, [rows, inner]);
          const bias = o.bias ? floats(engine, seed + 2, [out]) : undefined;
          const norm = o.norm ? { gain: floats(engine, seed + 3, [inner]), epsilon: 1e-5 } : undefined;
          const add = o.add ? floats(engine, seed + 4, [rows, out]) : undefined;
          if (fused) return await engine.readFloats(engine.linear(x, [{ weight: packed, bias }], { norm, add })[0]);
          const [y] = engine.linear(norm ? engine.rmsNorm(x, norm) : x, [{ weight: packed, bias }]);
          return await engine.readFloats(add ? engine.add(y, add) : y);
        });
      const [actual, expected] = await work(true);
      const [, input] = await pair().run(async (engine) => {
        const x = floats(engine, seed + 1, [rows, inner]);
        return engine.readFloats(
          o.norm ? engine.rmsNorm(x, { gain: floats(engine, seed + 3, [inner]), epsilon: 1e-5 }) : x,
        );
      });
      const stored = decodeFloats(encodeFloats(w, dtype), dtype);
      const bound = magnitudes(input, stored, rows, inner, out);
      // The product's `inner` roundings; the norm's own, at most inner / 2 + 4 of a mean of squares under a root; 2 of sums below 2.
      expectClose(actual, expected, (i) => unitRoundoff * ((1.5 * inner + 6) * bound[i] + 4), 'linear');
      if (backend === 'wasm') expect((await work(false))[0]).toEqual(actual);
    },
  );

  it.each(['float32', 'bfloat16', 'float16'] as const)(
    'whole numbers give whole numbers, of as many rows as fill tiles, blocks and chunks or end in them, for %s weights',
    async (dtype) => {
      // Every number on the way is whole and below 2^24, so that no sum is rounded, in whatever order.
      const [most, inner, out] = [21, 50, 27];
      const whole = (seed: number, shape: number[]) => random(seed, shape, 8).map(Math.trunc);
      const [x, w, bias, add] = [
        whole(1, [most, inner]),
        whole(2, [out, inner]),
        whole(3, [out]),
        whole(4, [most, out]),
      ];
      const expected = Float32Array.from(add, (value, at) => {
        const [row, column] = [Math.floor(at / out), at % out];
        let sum = value + bias[column];
        for (let i = 0; i < inner; i++) sum += x[row * inner + i] * w[column * inner + i];
        return sum;
      });
      await unchanged(pair().device, async (engine) => {
        using packed = await weight(engine, w, [out, inner], 'linear', dtype);
        const [input, residual] = [engine.tensor(x, [most, inner]), engine.tensor(add, [most, out])];
        for (let rows = 1; rows <= most; rows++) {
          const projection = { weight: packed, bias: engine.tensor(bias) };
          const [y] = engine.linear(input.rows(0, rows), [projection], { add: residual.rows(0, rows) });
          expectClose(await engine.readFloats(y), expected.subarray(0, rows * out), 0, `${rows} rows`);
        }
      });
    },
  );

  holds(
    'float16 weights of any size, subnormal ones too',
    fc.record({ seed, rows: size(20), inner: fc.oneof(size(40), fc.constantFrom(641, 1100)), out: size(40) }),
    async ({ seed, rows, inner, out }) => {
      const w = random(seed, [out, inner]).map((value, i) => value * 2 ** -(i % 27));
      const [actual, expected] = await pair().run(async (engine) => {
        using packed = await weight(engine, w, [out, inner], 'linear', 'float16');
        return await engine.readFloats(engine.linear(floats(engine, seed + 1, [rows, inner]), [{ weight: packed }])[0]);
      });
      const stored = decodeFloats(encodeFloats(w, 'float16'), 'float16');
      const bound = magnitudes(random(seed + 1, [rows, inner]), stored, rows, inner, out);
      // A rounding for each product and each sum; products below 2^-70 may lose what lies under 2^-94 (see `biasUnit`).
      expectClose(actual, expected, (i) => 2 * inner * (unitRoundoff * bound[i] + 2 ** -94), 'linear');
    },
  );

  holds(
    'several projections share an input',
    fc.record({ seed, rows: size(10), inner: size(30), outs: fc.array(size(20), { minLength: 1, maxLength: 3 }) }),
    async ({ seed, rows, inner, outs }) => {
      const [actual, expected] = await pair().run(async (engine) => {
        const weights = await Promise.all(
          outs.map((out, i) => weight(engine, random(seed + i, [out, inner]), [out, inner], 'linear')),
        );
        const ys = engine.linear(
          floats(engine, seed + 9, [rows, inner]),
          weights.map((w) => ({ weight: w })),
        );
        const values = await Promise.all(ys.map((y) => engine.readFloats(y)));
        weights.forEach((w) => w.dispose());
        return values.flatMap((v) => [...v]);
      });
      expectClose(actual, expected, (inner + 1) * unitRoundoff * inner);
    },
  );

  holds(
    'embed gives the stored rows, also of a weight that serves both ways',
    fc.record({
      seed,
      dtype,
      vocabulary: size(50),
      hidden: size(40),
      use: fc.constantFrom('embedding' as const, 'both' as const),
      tokens: fc.array(fc.nat(), { minLength: 1, maxLength: 20 }),
    }),
    async ({ seed, dtype, vocabulary, hidden, use, tokens }) => {
      const [actual, expected] = await pair().run(async (engine) => {
        using table = await weight(engine, random(seed, [vocabulary, hidden]), [vocabulary, hidden], use, dtype);
        return await engine.readFloats(engine.embed(table, createBatch([tokens.map((token) => token % vocabulary)])));
      });
      expect(actual).toEqual(expected);
    },
  );

  it('every finite float16 comes out of look-ups and products as it is', async () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((half) => (half & 0x7c00) !== 0x7c00);
    const bytes = new Uint8Array(halves.buffer);
    const expected = decodeFloats(bytes, 'float16');
    const [inner, out] = [8, halves.length / 8];
    const tokens = Int32Array.from({ length: out }, (_, i) => i);
    const source = arraySource(expected, [out, inner], { dtype: 'float16' });
    await unchanged(pair().device, async (engine) => {
      using table = await engine.pack(source, 'both');
      expect(await engine.readFloats(engine.embed(table, createBatch([tokens])))).toEqual(expected);
      const identity = Float32Array.from({ length: inner ** 2 }, (_, i) => (i % (inner + 1) === 0 ? 1 : 0));
      const x = engine.tensor(identity, [inner, inner]);
      const all = await engine.readFloats(engine.linear(x, [{ weight: table }])[0]);
      for (let i = 0; i < inner; i++) {
        const column = expected.filter((_, at) => at % inner === i);
        // A sum of a weight and zeros: -0 becomes 0.
        const positive = column.map((value) => value + 0);
        expect(all.slice(i * out, (i + 1) * out)).toEqual(positive);
        const alone = await engine.readFloats(engine.linear(x.rows(i, i + 1), [{ weight: table }])[0]);
        expect(alone).toEqual(positive);
      }
    });
  });

  if (backend === 'wasm')
    it.each(['float32', 'bfloat16', 'float16'] as const)('refuses a %s weight that is not finite', async (dtype) => {
      for (const [bad, at] of [
        [Infinity, 0],
        [-Infinity, 1234],
        [NaN, 23 * 77 - 1],
      ]) {
        const w = random(3, [77, 23]).fill(bad, at, at + 1);
        await unchanged(pair().device, async (engine) =>
          expect(weight(engine, w, [77, 23], 'linear', dtype)).rejects.toThrow(/^tensor weight .* is not finite/),
        );
      }
    });

  if (backend === 'wasm')
    it.each(['float32', 'bfloat16', 'float16'] as const)(
      'a row is the same alone and in any batch, for %s weights',
      async (dtype) => {
        const [rows, inner, out] = [71, 1103, 83];
        await unchanged(pair().device, async (engine) => {
          using w = await weight(engine, random(5, [out, inner]), [out, inner], 'linear', dtype);
          const x = floats(engine, 6, [rows, inner]);
          const all = await engine.readFloats(engine.linear(x, [{ weight: w }])[0]);
          // Bit for bit: sums run in one order, whatever the tile.
          for (const [from, count] of [
            [0, 1],
            [70, 1],
            [3, 2],
            [10, 3],
            [5, 66],
          ]) {
            const some = await engine.readFloats(engine.linear(x.rows(from, from + count), [{ weight: w }])[0]);
            expect(some).toEqual(all.slice(from * out, (from + count) * out));
          }
        });
      },
    );
};

againstReference('projections', projections, [...backends, ...wasmWithSmallTiles]);
