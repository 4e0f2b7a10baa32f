import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBatch } from '../../src/engine/batch.js';
import { createEngine } from '../../src/engine/createEngine.js';
import type { Engine } from '../../src/engine/engine.js';
import type { Shape } from '../../src/engine/errors.js';
import { dequantizeRows, type Int4Format, type Int4Rows, type Int4Source } from '../../src/engine/int4.js';
import { sizeOf } from '../../src/engine/tensor.js';
import { packInt4 } from '../../src/engine/wasm/operations/int4/packInt4.js';
import {
  bytesPlan,
  int4PlanFor,
  pairsPlan,
  shortsPlan,
  wideBytesPlan,
  wideShortsPlan,
  type Int4Plan,
} from '../../src/engine/wasm/layouts/int4/int4Plan.js';
import { int4Product, quantizeRows } from '../../src/engine/wasm/operations/int4/int4Product.js';
import { rowMajor } from '../../src/engine/wasm/operations/packRows.js';
import { int4Right } from '../../src/engine/wasm/operations/int4/int4SelfTest.js';
import { Machine } from '../../src/engine/wasm/runtime/machine.js';
import { crossEntropyColumns } from '../../src/engine/wasm/layouts/tilePlan.js';
import {
  againstReference,
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
import { allowRelaxed } from '../support/relaxed.js';
import { int4Model, int4RowsOf, rowsSource } from '../support/int4Model.js';

const format = fc
  .record({
    groupSize: fc.constantFrom(32, 64, 128),
    offsets: fc.constantFrom('middle', 'zeros', 'minima'),
  })
  .map(({ groupSize, offsets }) => ({
    groupSize,
    zeroPoints: offsets === 'zeros',
    minima: offsets === 'minima',
  })) as fc.Arbitrary<Int4Format>;
/** Widths that end within a word, a block, a group, and a part of the depth. */
const width = fc.oneof(size(140), fc.constantFrom(32, 33, 127, 128, 129, 160, 576, 1056, 2100));

interface Int4Weight {
  readonly source: Int4Source;
  readonly rows: Int4Rows;
  /** Dequantized. */
  readonly values: Float32Array;
  /** Magnitudes of what is computed with: a group's integers and its minimum apart. */
  readonly terms: Float32Array;
}

function int4Weight(seed: number, shape: Shape, format: Int4Format, name = 'weight'): Int4Weight {
  const inner = shape[shape.length - 1];
  const rows = int4RowsOf(seed, sizeOf(shape.slice(0, -1)), inner, format);
  const values = dequantizeRows(rows, inner, format);
  const magnitude = (halves: Uint16Array): Uint16Array => halves.map((half) => half & 0x7fff);
  const terms = rows.minima
    ? dequantizeRows({ ...rows, scales: magnitude(rows.scales), minima: magnitude(rows.minima) }, inner, format)
    : values;
  return { source: rowsSource(name, shape, format, rows), rows, values, terms };
}

againstReference('int4 weights', (pair, backend) => {
  holds(
    'a row that is looked up is scale * (q - zero), to the bit',
    fc.record({ seed, format, width, out: size(40), both: fc.boolean() }),
    async ({ seed, format, width, out, both }) => {
      const { source, values } = int4Weight(seed, [out, width], format);
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

  it('a source of the wrong size or with a scale that is not finite is refused by name', async () => {
    const format = { groupSize: 32, zeroPoints: true } as const;
    const { source, rows } = int4Weight(1, [5, 40], format, 'layers.3.q');
    const refused: [Partial<Int4Rows>, RegExp][] = [
      [{ quants: rows.quants.subarray(1) }, /layers\.3\.q: 5 rows of 40 need 100 quants, not 99/],
      [{ scales: rows.scales.subarray(1) }, /10 scales, not 9/],
      [{ zeros: undefined }, /10 zeros, not 0/],
      [{ scales: rows.scales.map(() => 0x7c00) }, /layers\.3\.q: a scale is not finite/],
      [{ zeros: new Uint8Array(10).fill(16) }, /zero point/],
    ];
    for (const [wrong, message] of refused)
      await unchanged(pair().device, async (engine) => {
        await expect(
          engine.pack({ ...source, readInt4: async () => ({ ...rows, ...wrong }) }, 'linear'),
        ).rejects.toThrow(message);
      });
  });

  if (backend === 'wasm') return;
  holds(
    'linear is that of the dequantized weight',
    fc.record({ seed, format, rows: size(5), width: size(140), out: size(20) }),
    async ({ seed, format, rows, width, out }) => {
      const { source, values } = int4Weight(seed, [out, width], format);
      const [actual, expected] = await pair().run(async (engine) => {
        using w = await engine.pack(source, 'linear');
        return await engine.readFloats(engine.linear(floats(engine, seed, [rows, width]), [{ weight: w }])[0]);
      });
      const bound = magnitudes(random(seed, [rows, width]), values, rows, width, out);
      expectClose(actual, expected, (i) => 1.5 * width * unitRoundoff * bound[i]);
    },
  );
});

/** Largest magnitude of each group of a row, over 127: a step of quantized activations. */
function steps(x: Float32Array, rows: number, width: number, groupSize: number): Float64Array {
  const result = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let from = 0; from < width; from += groupSize) {
      const to = Math.min(width, from + groupSize);
      let most = 0;
      for (let i = from; i < to; i++) most = Math.max(most, Math.abs(x[row * width + i]));
      result.fill(most / 127, row * width + from, row * width + to);
    }
  return result;
}

describe('wasm: int4 weights', () => {
  let fast: Engine;
  let exact: Engine;
  let reference: Engine;
  beforeAll(async () => {
    fast = await createEngine('wasm');
    exact = await createEngine('wasm', { int4: 'exact' });
    reference = await createEngine('reference');
  });
  afterAll(() => [fast, exact, reference].forEach((engine) => engine.dispose()));

  const shapes = fc.record({ seed, format, rows: size(70), width, out: size(40) });

  const product = (engine: Engine, source: Int4Source, x: Float32Array, rows: number): Promise<Float32Array> =>
    unchanged(engine, async () => {
      using w = await engine.pack(source, 'linear');
      return await engine.readFloats(engine.linear(engine.tensor(x, [rows, x.length / rows]), [{ weight: w }])[0]);
    });

  holds(
    'exact: linear is, to the bit, that of the dequantized weight',
    // One row has a kernel of its own.
    fc.record({ seed, format, rows: fc.oneof(fc.constant(1), size(70)), width, out: size(40) }),
    async ({ seed, format, rows, width, out }) => {
      const { source, values } = int4Weight(seed, [out, width], format);
      const x = random(seed, [rows, width]);
      const expected = await unchanged(exact, async () => {
        using w = await weight(exact, values, [out, width], 'linear');
        return await exact.readFloats(exact.linear(exact.tensor(x, [rows, width]), [{ weight: w }])[0]);
      });
      expect(await product(exact, source, x, rows)).toEqual(expected);
    },
  );

  holds('fast: linear equals the integer model to the bit', shapes, async ({ seed, format, rows, width, out }) => {
    const { source, rows: int4 } = int4Weight(seed, [out, width], format);
    const x = random(seed, [rows, width]);
    expect(await product(fast, source, x, rows)).toEqual(int4Model(x, int4, width, format));
  });

  holds('fast: linear is near the reference', shapes, async ({ seed, format, rows, width, out }) => {
    const { source, values, terms } = int4Weight(seed, [out, width], format);
    const x = random(seed, [rows, width]);
    // An activation is off by half a step; its scale, and what is computed with it, by a few roundings a group.
    const half = magnitudes(steps(x, rows, width, format.groupSize), values, rows, width, out);
    const all = magnitudes(x, terms, rows, width, out);
    const roundings = (4 + Math.ceil(width / format.groupSize)) * unitRoundoff;
    expectClose(
      await product(fast, source, x, rows),
      await product(reference, source, x, rows),
      (i) => half[i] / 2 + (roundings + 4 * unitRoundoff) * (all[i] + half[i]),
    );
  });

  holds(
    'a row is the same alone and in any batch',
    fc.record({ seed, format, rows: fc.integer({ min: 2, max: 70 }), width, out: size(20) }),
    async ({ seed, format, rows, width, out }) => {
      const { source } = int4Weight(seed, [out, width], format);
      const x = random(seed, [rows, width]);
      const row = seed % rows;
      const [alone, batch] = [
        await product(fast, source, x.slice(row * width, (row + 1) * width), 1),
        await product(fast, source, x, rows),
      ];
      expect(alone).toEqual(batch.subarray(row * out, (row + 1) * out));
    },
  );

  it('activations of any size: zeros, subnormal, huge, and what is not finite', async () => {
    const format = { groupSize: 32, zeroPoints: true } as const;
    const { source, rows: int4 } = int4Weight(3, [11, 96], format);
    for (const scale of [0, 2 ** -149, 2 ** -130, 2 ** -101, 2 ** -90, 1e30]) {
      const x = random(7, [3, 96], scale);
      expectClose(await product(fast, source, x, 3), int4Model(x, int4, 96, format), 0, `activations of ${scale}`);
    }
    for (const value of [NaN, Infinity]) {
      const x = random(7, [2, 96]).fill(value, 40, 41);
      const y = await product(fast, source, x, 2);
      expect([...y.subarray(0, 11)]).toEqual(Array.from({ length: 11 }, () => NaN));
      expect(y.subarray(11)).toEqual(int4Model(x, int4, 96, format).subarray(11));
    }
  });

  holds(
    'int4 and float weights share an input, with norm, bias and residual',
    fc.record({ seed, format, rows: size(9), width: size(140), out: size(20) }),
    async ({ seed, format, rows, width, out }) => {
      const { source } = int4Weight(seed, [out, width], format);
      const run = (engine: Engine) =>
        unchanged(engine, async () => {
          using int4 = await engine.pack(source, 'linear');
          using float = await weight(engine, random(seed + 1, [out, width]), [out, width], 'linear');
          const x = floats(engine, seed + 2, [rows, width]);
          const [bias, add] = [floats(engine, seed + 3, [out]), floats(engine, seed + 4, [rows, out])];
          const norm = { gain: floats(engine, seed + 5, [width]), epsilon: 1e-5 };
          const together = engine.linear(
            x,
            [
              { weight: int4, bias },
              { weight: float, bias },
            ],
            { norm, add },
          );
          const normed = engine.rmsNorm(x, norm);
          const apart = [
            engine.add(engine.linear(normed, [{ weight: int4, bias }])[0], add),
            engine.linear(normed, [{ weight: float, bias }])[0],
          ];
          const read = async (ys: typeof together) => Promise.all(ys.map((y) => engine.readFloats(y)));
          return [await read(together), await read(apart)];
        });
      for (const engine of [fast, exact]) {
        const [together, apart] = await run(engine);
        expect(together).toEqual(apart);
      }
    },
  );

  const experts = fc.record({
    seed,
    format,
    rows: size(9),
    hidden: size(70),
    inner: size(70),
    experts: fc.integer({ min: 1, max: 4 }),
  });

  holds(
    'exact: a mixture of int4 experts is that of the dequantized ones',
    experts,
    async ({ seed, format, rows, hidden, inner, experts }) => {
      const shapes = [
        [experts, inner, hidden],
        [experts, inner, hidden],
        [experts, hidden, inner],
      ];
      const weights = shapes.map((shape, i) => int4Weight(seed + i, shape, format));
      const run = (float: boolean) =>
        unchanged(exact, async (engine) => {
          const [gate, up, down] = await Promise.all(
            weights.map(({ source, values }, i) =>
              float ? weight(engine, values, shapes[i], 'experts') : engine.pack(source, 'experts'),
            ),
          );
          using router = await weight(engine, random(seed + 7, [experts, hidden]), [experts, hidden], 'linear');
          const spec = { topK: Math.min(2, experts), normalise: true };
          const y = engine.moe(
            floats(engine, seed + 8, [rows, hidden]),
            router,
            { gate: { weight: gate }, up: { weight: up }, down: { weight: down } },
            spec,
          );
          const values = await engine.readFloats(y);
          [gate, up, down].forEach((w) => w.dispose());
          return values;
        });
      expect(await run(false)).toEqual(await run(true));
    },
  );

  holds(
    'fast: each token gets what its expert gives alone',
    experts,
    async ({ seed, format, rows, hidden, inner, experts }) => {
      const shapes = [
        [experts, inner, hidden],
        [experts, inner, hidden],
        [experts, hidden, inner],
      ];
      const weights = shapes.map((shape, i) => int4Weight(seed + i, shape, format));
      await unchanged(fast, async (engine) => {
        using router = await weight(engine, random(seed + 7, [experts, hidden]), [experts, hidden], 'linear');
        const x = floats(engine, seed + 8, [rows, hidden]);
        const packed = await Promise.all(weights.map(({ source }) => engine.pack(source, 'experts')));
        const [gate, up, down] = packed.map((w) => ({ weight: w }));
        const mixed = await engine.readFloats(engine.moe(x, router, { gate, up, down }, { topK: 1, normalise: true }));
        const chosen = await engine.read(engine.argmax(engine.linear(x, [{ weight: router }])[0]));
        for (let expert = 0; expert < experts; expert++) {
          const alone = await Promise.all(
            weights.map(({ source, rows }, i) => {
              const [out, width] = shapes[i].slice(1);
              return engine.pack(rowsSource(source.name, [out, width], format, rows, expert * out), 'linear');
            }),
          );
          const [g, u, d] = alone.map((w) => ({ weight: w }));
          const y = await engine.readFloats(engine.gatedMlp(x, { gate: g, up: u, down: d }));
          chosen.forEach((of, row) => {
            if (of === expert)
              expect(mixed.subarray(row * hidden, (row + 1) * hidden)).toEqual(
                y.subarray(row * hidden, (row + 1) * hidden),
              );
          });
          alone.forEach((w) => w.dispose());
        }
        packed.forEach((w) => w.dispose());
      });
    },
  );

  holds(
    "any activation: a row is the same alone, where its product's integers are made at once, and among others",
    fc.record({ seed, format, rows: size(5), width: size(70), inner: fc.constantFrom(32, 40, 128) }),
    async ({ seed, format, rows, width, inner }) => {
      const [gate, up] = [0, 1].map((i) => int4Weight(seed + i, [inner, width], format).source);
      const down = int4Weight(seed + 2, [width, inner], format).source;
      for (const engine of [fast, exact])
        await unchanged(engine, async () => {
          using g = await engine.pack(gate, 'linear');
          using u = await engine.pack(up, 'linear');
          using d = await engine.pack(down, 'linear');
          const x = floats(engine, seed + 3, [rows, width]);
          for (const activation of ['silu', 'gelu', 'gelu_tanh'] as const) {
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
    'cross-entropy under an int4 head is that of its logits',
    fc.record({ seed, format, rows: size(9), width: size(140), vocabulary: fc.oneof(size(60), fc.constant(1030)) }),
    async ({ seed, format, rows, width, vocabulary }) => {
      const { source } = int4Weight(seed, [vocabulary, width], format);
      for (const engine of [fast, exact])
        await unchanged(engine, async () => {
          using head = await engine.pack(source, 'both');
          const h = floats(engine, seed, [rows, width]);
          const targets = Int32Array.from({ length: rows }, (_, i) => (seed + i) % vocabulary);
          const losses = await engine.readFloats(engine.crossEntropy(h, { weight: head }, targets));
          const logits = await engine.readFloats(engine.linear(h, [{ weight: head }])[0]);
          const of = Array.from(targets, (_, row) => logits.subarray(row * vocabulary, (row + 1) * vocabulary));
          const expected = of.map((logits, row) => {
            const most = Math.max(...logits);
            return most + Math.log(logits.reduce((sum, l) => sum + Math.exp(l - most), 0)) - logits[targets[row]];
          });
          // With u a rounding to float32: the logits are the same, so what is off is the sum of exponentials, relatively,
          // which its logarithm makes absolute, and the loss when it is stored (u |loss|). A term of the sum is off by u
          // times its distance to the largest logit, whichever maxima it was scaled down by on the way; by 2 ulp, which
          // are 4 u, of one exponential a stripe; and by the additions it passes: a quarter of a stripe's columns in its
          // lane, two over lanes, one of the tail. Sums over stripes and the logarithm are float64.
          const stripes = Math.ceil(vocabulary / crossEntropyColumns);
          const additions = Math.min(vocabulary, crossEntropyColumns) / 4 + 3;
          expectClose(losses, expected, (row) => {
            const distance = Math.max(...of[row]) - Math.min(...of[row]);
            return unitRoundoff * (distance + 4 * stripes + additions + Math.abs(expected[row]));
          });
        });
    },
  );

  const relaxed = allowRelaxed();
  const plans = relaxed ? [pairsPlan, bytesPlan, wideBytesPlan, shortsPlan, wideShortsPlan] : [pairsPlan];
  const small = { rows: 3, block: 6, depthBlocks: 4 };
  const variants: Int4Plan[] = [...plans, { ...pairsPlan, ...small, tileUnroll: 2, rowUnroll: 4, rowChains: 2 }];
  if (relaxed)
    variants.push(
      { ...bytesPlan, ...small, tileUnroll: 4 },
      { ...shortsPlan, ...small, tileUnroll: 8, rowUnroll: 4 },
      { ...shortsPlan, tileUnroll: 4, rowUnroll: 2 },
    );

  describe.each(
    variants.map(
      (plan) => [`${plan.dot}, ${plan.rows} x ${4 * plan.tileVectors}, ${plan.tileUnroll} words`, plan] as const,
    ),
  )('%s', (_, plan) => {
    const machine = new Machine(plan);
    it('passes its self-test, also once compiled again', async () => {
      expect(await int4Right(machine, 300)).toBe(true);
    });
    holds(
      'equals the integer model to the bit',
      fc.record({ seed, format, rows: size(20), width, out: size(40) }),
      async ({ seed, format, rows, width, out }) => {
        const { source, rows: int4 } = int4Weight(seed, [out, width], format);
        const x = random(seed, [rows, width]);
        using frame = machine.memory.frame();
        const storage = await packInt4(machine, source);
        const [from, to] = [frame.take(4 * rows * width), frame.take(4 * rows * out)];
        machine.memory.floats(from, rows * width).set(x);
        int4Product(
          machine,
          quantizeRows(machine, frame, rowMajor(from, rows, width), format.groupSize),
          storage.matrices[0],
          to,
        );
        expect(machine.memory.floats(to, rows * out).slice()).toEqual(int4Model(x, int4, width, format));
        storage.free();
      },
    );
  });

  it.each(variants.map((plan) => [plan.dot, plan.tileUnroll, plan] as const))(
    '%s, %i words at a time: the largest sums that there are',
    async (_dot, _words, plan) => {
      const machine = new Machine(plan);
      const [width, out, format] = [160, 16, { groupSize: 128, zeroPoints: true } as const];
      const groups = Math.ceil(width / format.groupSize);
      const int4: Int4Rows = {
        quants: new Uint8Array((out * width) / 2).fill(0xff),
        scales: new Uint16Array(out * groups).fill(0x3c00),
        zeros: new Uint8Array(out * groups),
      };
      const storage = await packInt4(machine, rowsSource('largest', [out, width], format, int4));
      for (const rows of [1, 2, plan.rows, plan.rows + 1])
        for (const sign of [1, -1]) {
          using frame = machine.memory.frame();
          const [from, to] = [frame.take(4 * rows * width), frame.take(4 * rows * out)];
          machine.memory.floats(from, rows * width).fill(127 * sign);
          const left = quantizeRows(machine, frame, rowMajor(from, rows, width), format.groupSize);
          int4Product(machine, left, storage.matrices[0], to);
          expect(new Set(machine.memory.floats(to, rows * out))).toEqual(new Set([sign * 127 * 15 * width]));
        }
      storage.free();
    },
  );

  it('the plan follows the machine, and each is whole', () => {
    for (const relaxed of [false, true])
      for (const wide of [false, true])
        for (const byteDots of [false, true]) {
          const plan = int4PlanFor({ relaxed, wide, byteDots });
          expect(plan.dot).toBe(relaxed ? (byteDots ? 'bytes' : 'shorts') : 'pairs');
          // Blocks of rows are whole tiles; parts of the depth whole groups of 128.
          expect([plan.block % plan.rows, plan.depthBlocks % 4, 4 % plan.rowUnroll, 8 % plan.tileUnroll]).toEqual([
            0, 0, 0, 0,
          ]);
        }
  });
});
