import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBatch } from '../../src/engine/batch.js';
import { createEngine } from '../../src/engine/createEngine.js';
import type { Engine } from '../../src/engine/engine.js';
import { dequantizeInt8, type Int8Format, type Int8Rows, type Int8Source } from '../../src/engine/int8.js';
import { integerProduct } from '../../src/engine/wasm/operations/integerProduct.js';
import { int8Form } from '../../src/engine/wasm/operations/int8/int8Product.js';
import { int8Right } from '../../src/engine/wasm/operations/int8/int8SelfTest.js';
import { packInt8 } from '../../src/engine/wasm/operations/int8/packInt8.js';
import { rowMajor } from '../../src/engine/wasm/operations/packRows.js';
import { quantizeRows } from '../../src/engine/wasm/operations/quantizedRows.js';
import { Machine } from '../../src/engine/wasm/runtime/machine.js';
import {
  againstReference,
  backends,
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
import { int4RowsOf, rowsSource } from '../support/int4Model.js';
import { int8Model, int8Source, int8Weight } from '../support/int8Model.js';
import { smallTiles, wasmWithSmallTiles } from '../support/smallTiles.js';

const format = fc.record({ groupSize: fc.constantFrom(16, 32) }) as fc.Arbitrary<Int8Format>;
/** Widths that end within a pair, a group, and a part of the depth. */
const width = fc.oneof(size(140), fc.constantFrom(32, 33, 127, 128, 129, 160, 576, 1056, 2100));
const shapes = fc.record({ seed, format, rows: size(70), width, out: size(40) });

/**
 * How far a product with int8 weights may be off: an activation by half a step of 2^-15 of its group's largest, rounded up;
 * and some roundings a group.
 */
function bound(x: Float32Array, values: Float32Array, rows: number, width: number, out: number, groupSize: number) {
  const steps = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let from = 0; from < width; from += groupSize) {
      const group = x.subarray(row * width + from, row * width + Math.min(width, from + groupSize));
      const most = group.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      steps.fill(most / 32767, row * width + from, row * width + from + group.length);
    }
  const half = magnitudes(steps, values, rows, width, out);
  const all = magnitudes(x, values, rows, width, out);
  const roundings = (8 + Math.ceil(width / groupSize)) * unitRoundoff;
  return (i: number): number => half[i] / 2 + roundings * (all[i] + half[i]);
}

againstReference(
  'int8 weights',
  (pair, backend) => {
    holds(
      'a row that is looked up is scale * q, to the bit',
      fc.record({ seed, format, width, out: size(40), both: fc.boolean() }),
      async ({ seed, format, width, out, both }) => {
        const { source, rows } = int8Weight(seed, [out, width], format);
        const values = dequantizeInt8(rows, width, format);
        const ids = Int32Array.from({ length: out }, (_, i) => i).reverse();
        for (const actual of await pair().run(async (engine) => {
          using table = await engine.pack(source, both ? 'both' : 'embedding');
          return await engine.readFloats(engine.embed(table, createBatch([ids])));
        }))
          expect(actual).toEqual(
            Float32Array.from([...ids].flatMap((id) => [...values.subarray(id * width, (id + 1) * width)])),
          );
      },
    );

    holds('linear is near the reference', shapes, async ({ seed, format, rows, width, out }) => {
      const { source, rows: int8 } = int8Weight(seed, [out, width], format);
      const x = random(seed, [rows, width]);
      const [actual, expected] = await pair().run(async (engine) => {
        using w = await engine.pack(source, 'linear');
        return await engine.readFloats(engine.linear(engine.tensor(x, [rows, width]), [{ weight: w }])[0]);
      });
      const values = dequantizeInt8(int8, width, format);
      const floating = magnitudes(x, values, rows, width, out);
      expectClose(
        actual,
        expected,
        backend === 'wasm'
          ? bound(x, values, rows, width, out, format.groupSize)
          : (i) => 1.5 * width * unitRoundoff * floating[i],
      );
      if (backend === 'wasm') expect(actual).toEqual(int8Model(x, int8, width, format));
    });

    holds(
      'a row is the same alone and in any batch',
      fc.record({ seed, format, rows: fc.integer({ min: 2, max: 70 }), width, out: size(20) }),
      async ({ seed, format, rows, width, out }) => {
        if (backend !== 'wasm') return;
        const { source } = int8Weight(seed, [out, width], format);
        await unchanged(pair().device, async (engine) => {
          using w = await engine.pack(source, 'linear');
          const x = floats(engine, seed, [rows, width]);
          const row = seed % rows;
          const [alone, batch] = await Promise.all(
            [x.rows(row, row + 1), x].map((of) => engine.readFloats(engine.linear(of, [{ weight: w }])[0])),
          );
          expect(alone).toEqual(batch.slice(row * out, (row + 1) * out));
        });
      },
    );

    it('a source of the wrong size or with a scale that is not finite is refused by name', async () => {
      const format = { groupSize: 32 } as const;
      const { source, rows } = int8Weight(1, [5, 40], format, 'layers.3.q');
      const refused: [Partial<Int8Rows>, RegExp][] = [
        [{ quants: rows.quants.subarray(1) }, /layers\.3\.q: 5 rows of 40 need 200 quants, not 199/],
        [{ scales: rows.scales.subarray(1) }, /10 scales, not 9/],
        [{ scales: rows.scales.map(() => 0x7c00) }, /layers\.3\.q: a scale is not finite/],
      ];
      for (const [wrong, message] of refused)
        await unchanged(pair().device, async (engine) => {
          await expect(
            engine.pack({ ...source, readInt8: async () => ({ ...rows, ...wrong }) }, 'linear'),
          ).rejects.toThrow(message);
        });
    });
  },
  [...backends, ...wasmWithSmallTiles],
);

describe('wasm: int8 weights', () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await createEngine('wasm');
  });
  afterAll(() => engine.dispose());

  it('activations of any size: zeros, subnormal, huge, and what is not finite', async () => {
    const format = { groupSize: 32 } as const;
    const { source, rows: int8 } = int8Weight(3, [11, 96], format);
    const product = (x: Float32Array, rows: number): Promise<Float32Array> =>
      unchanged(engine, async () => {
        using w = await engine.pack(source, 'linear');
        return await engine.readFloats(engine.linear(engine.tensor(x, [rows, 96]), [{ weight: w }])[0]);
      });
    for (const scale of [0, 2 ** -149, 2 ** -130, 2 ** -101, 2 ** -90, 1e30]) {
      const x = random(7, [3, 96], scale);
      expectClose(await product(x, 3), int8Model(x, int8, 96, format), 0, `activations of ${scale}`);
    }
    for (const value of [NaN, Infinity]) {
      const x = random(7, [2, 96]).fill(value, 40, 41);
      const y = await product(x, 2);
      expect([...y.subarray(0, 11)]).toEqual(Array.from({ length: 11 }, () => NaN));
      expect(y.subarray(11)).toEqual(int8Model(x, int8, 96, format).subarray(11));
    }
  });

  holds(
    'int8, int4 and float weights share an input, with norm, bias and residual',
    fc.record({ seed, format, rows: size(9), width: size(140), out: size(20) }),
    async ({ seed, format, rows, width, out }) => {
      const int4 = { groupSize: 32, zeroPoints: true } as const;
      await unchanged(engine, async () => {
        using eight = await engine.pack(int8Weight(seed, [out, width], format).source, 'linear');
        using four = await engine.pack(
          rowsSource('four', [out, width], int4, int4RowsOf(seed, out, width, int4)),
          'linear',
        );
        using float = await weight(engine, random(seed + 1, [out, width]), [out, width], 'linear');
        const x = floats(engine, seed + 2, [rows, width]);
        const [bias, add] = [floats(engine, seed + 3, [out]), floats(engine, seed + 4, [rows, out])];
        const norm = { gain: floats(engine, seed + 5, [width]), epsilon: 1e-5 };
        const all = [eight, four, float].map((weight) => ({ weight, bias }));
        const together = engine.linear(x, all, { norm, add });
        const normed = engine.rmsNorm(x, norm);
        const apart = all.map((one, i) => {
          const y = engine.linear(normed, [one])[0];
          return i === 0 ? engine.add(y, add) : y;
        });
        const read = async (ys: typeof together) => Promise.all(ys.map((y) => engine.readFloats(y)));
        expect(await read(together)).toEqual(await read(apart));
      });
    },
  );

  holds(
    "any activation: a row is the same alone, where its product's integers are made at once, and among others",
    fc.record({
      seed,
      format,
      rows: size(5),
      width: size(70),
      inner: fc.constantFrom(32, 40, 128),
      mixed: fc.boolean(),
    }),
    async ({ seed, format, rows, width, inner, mixed }) => {
      const int4 = { groupSize: 32, zeroPoints: false } as const;
      await unchanged(engine, async () => {
        using g = await engine.pack(int8Weight(seed, [inner, width], format).source, 'linear');
        using u = await engine.pack(
          mixed
            ? rowsSource('up', [inner, width], int4, int4RowsOf(seed + 1, inner, width, int4))
            : int8Weight(seed + 1, [inner, width], format).source,
          'linear',
        );
        using d = await engine.pack(int8Weight(seed + 2, [width, inner], format).source, 'linear');
        const x = floats(engine, seed + 3, [rows, width]);
        for (const activation of ['silu', 'gelu'] as const) {
          const weights = { gate: { weight: g }, up: { weight: u }, down: { weight: d }, activation };
          const all = await engine.readFloats(engine.gatedMlp(x, weights));
          const last = await engine.readFloats(engine.gatedMlp(x.rows(rows - 1, rows), weights));
          expect(last).toEqual(all.slice((rows - 1) * width));
          const [gates, ups] = engine.linear(x, [weights.gate, weights.up]);
          const apart = engine.linear(engine.gatedActivation(gates, ups, activation), [weights.down])[0];
          expect(await engine.readFloats(apart)).toEqual(all);
        }
      });
    },
  );

  holds(
    'each token gets what its expert gives alone',
    fc.record({
      seed,
      format,
      rows: size(9),
      hidden: size(70),
      inner: size(70),
      experts: fc.integer({ min: 1, max: 4 }),
    }),
    async ({ seed, format, rows, hidden, inner, experts }) => {
      const shapes = [
        [experts, inner, hidden],
        [experts, inner, hidden],
        [experts, hidden, inner],
      ];
      const made = shapes.map((shape, i) => int8Weight(seed + i, shape, format));
      const packed = async (sources: readonly Int8Source[], use: 'linear' | 'experts') => {
        const [gate, up, down] = await Promise.all(sources.map((source) => engine.pack(source, use)));
        const all = { gate: { weight: gate }, up: { weight: up }, down: { weight: down } };
        return { all, free: () => [gate, up, down].forEach((w) => w.dispose()) };
      };
      await unchanged(engine, async () => {
        using router = await weight(engine, random(seed + 7, [experts, hidden]), [experts, hidden], 'linear');
        const x = floats(engine, seed + 8, [rows, hidden]);
        const { all, free } = await packed(
          made.map(({ source }) => source),
          'experts',
        );
        const mixed = await engine.readFloats(engine.moe(x, router, all, { topK: 1, normalise: true }));
        const chosen = await engine.read(engine.argmax(engine.linear(x, [{ weight: router }])[0]));
        for (let expert = 0; expert < experts; expert++) {
          const alone = await packed(
            made.map(({ rows }, i) => int8Source('alone', shapes[i].slice(1), format, rows, expert * shapes[i][1])),
            'linear',
          );
          const y = await engine.readFloats(engine.gatedMlp(x, alone.all));
          chosen.forEach((of, row) => {
            if (of === expert)
              expect(mixed.slice(row * hidden, (row + 1) * hidden)).toEqual(y.slice(row * hidden, (row + 1) * hidden));
          });
          alone.free();
        }
        free();
      });
    },
  );

  it('cross-entropy under an int8 head is that of its logits', () =>
    unchanged(engine, async () => {
      const [rows, width, vocabulary] = [5, 96, 1030];
      using head = await engine.pack(int8Weight(3, [vocabulary, width], { groupSize: 32 }).source, 'both');
      const h = floats(engine, 4, [rows, width], 0.1);
      const targets = Int32Array.of(0, 7, 1023, 1024, 1029);
      const losses = await engine.readFloats(engine.crossEntropy(h, { weight: head }, targets));
      const logits = await engine.readFloats(engine.linear(h, [{ weight: head }])[0]);
      const expected = Array.from(targets, (target, row) => {
        const of = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
        const most = Math.max(...of);
        return most + Math.log(of.reduce((sum, l) => sum + Math.exp(l - most), 0)) - of[target];
      });
      // As for int4, where the bound is derived: the sum passes some 260 additions of float32.
      expectClose(losses, expected, 1e-4);
    }));

  it.each(smallTiles.map((plan) => [plan.rows, plan.panels, plan] as const))(
    'tiles of %i x %i: the self-test, and the largest sums that there are',
    async (_rows, _panels, plan) => {
      const machine = new Machine(undefined, false, 1, plan);
      expect(await int8Right(machine, 100)).toBe(true);
      const [width, out, format] = [160, 16, { groupSize: 32 } as const];
      const rows = {
        quants: new Int8Array(out * width).fill(-128),
        scales: new Uint16Array((out * width) / 32).fill(0x3c00),
      };
      const storage = await packInt8(machine, int8Source('largest', [out, width], format, rows));
      for (const count of [1, 2, plan.rows, plan.rows + 1])
        for (const sign of [1, -1]) {
          using frame = machine.memory.frame();
          const [from, to] = [frame.take(4 * count * width), frame.take(4 * count * out)];
          machine.memory.floats(from, count * width).fill(32767 * sign);
          const form = int8Form(plan, format.groupSize);
          const left = quantizeRows(machine, frame, rowMajor(from, count, width), form);
          integerProduct(machine, left, storage.matrices[0], to);
          expect(new Set(machine.memory.floats(to, count * out))).toEqual(new Set([-128 * sign * 32767 * width]));
        }
      storage.free();
    },
  );
});
