import fc from 'fast-check';
import { expect, it } from 'vitest';
import { route } from '../../src/engine/wasm/operations/moe.js';
import {
  againstReference,
  backends,
  floats,
  holds,
  magnitudes,
  random,
  seed,
  size,
  weight,
  type Pair,
} from '../support/backends.js';
import { expectClose, unitRoundoff } from '../support/expectClose.js';
import { wasmWithSmallTiles } from '../support/smallTiles.js';

const tested = [...backends, ...wasmWithSmallTiles];

const activation = fc.constantFrom('silu', 'gelu', 'gelu_tanh');

const product = (
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  rows: number,
  depth: number,
  columns: number,
): Float64Array =>
  Float64Array.from({ length: rows * columns }, (_, at) => {
    let sum = 0;
    for (let i = 0; i < depth; i++) sum += x[Math.floor(at / columns) * depth + i] * w[(at % columns) * depth + i];
    return sum;
  });

/** How far down(activation(gate(x)) up(x)) may be off in float32, from the errors of each product. */
function gatedBound(
  x: ArrayLike<number>,
  gate: ArrayLike<number>,
  up: ArrayLike<number>,
  down: ArrayLike<number>,
  rows: number,
  hidden: number,
  inner: number,
): Float64Array {
  const [g, u] = [product(x, gate, rows, hidden, inner), product(x, up, rows, hidden, inner)];
  const [gm, um] = [magnitudes(x, gate, rows, hidden, inner), magnitudes(x, up, rows, hidden, inner)];
  // Activations are 1.13-Lipschitz and at most |g|; what they compute is off by 8 roundings of g. The input's norm adds hidden / 2 + 6.
  const gamma = (1.5 * hidden + 7) * unitRoundoff;
  const h = g.map(
    (value, i) =>
      Math.abs(u[i]) * 1.13 * gamma * gm[i] +
      Math.abs(value) * gamma * um[i] +
      8 * unitRoundoff * Math.abs(value * u[i]),
  );
  const size = g.map((value, i) => Math.abs(value * u[i]));
  const propagated = magnitudes(h, down, rows, inner, hidden);
  const rounded = magnitudes(size, down, rows, inner, hidden);
  return propagated.map((value, i) => value + (inner + 4) * unitRoundoff * rounded[i] + 2 * unitRoundoff);
}

const gatedMlp = (pair: () => Pair): void => {
  holds(
    'with norm, bias and residual',
    fc.record({
      seed,
      rows: size(20),
      hidden: size(40),
      inner: size(50),
      norm: fc.boolean(),
      bias: fc.boolean(),
      add: fc.boolean(),
      activation,
    }),
    async ({ seed, rows, hidden, inner, ...o }) => {
      const [gate, up, down] = [
        random(seed, [inner, hidden]),
        random(seed + 1, [inner, hidden]),
        random(seed + 2, [hidden, inner]),
      ];
      const input = random(seed + 3, [rows, hidden]);
      const [actual, expected] = await pair().run(async (engine) => {
        using g = await weight(engine, gate, [inner, hidden], 'linear');
        using u = await weight(engine, up, [inner, hidden], 'linear');
        using d = await weight(engine, down, [hidden, inner], 'linear');
        const bias = (at: number, count: number) => (o.bias ? floats(engine, seed + at, [count], 0.1) : undefined);
        const norm = o.norm ? { gain: engine.tensor(new Float32Array(hidden).fill(0.5)), epsilon: 1e-5 } : undefined;
        const y = engine.gatedMlp(
          engine.tensor(input, [rows, hidden]),
          {
            gate: { weight: g, bias: bias(4, inner) },
            up: { weight: u, bias: bias(5, inner) },
            down: { weight: d, bias: bias(6, hidden) },
            activation: o.activation,
          },
          { norm, add: o.add ? floats(engine, seed + 7, [rows, hidden]) : undefined },
        );
        return await engine.readFloats(y);
      });
      // A norm with gain 0.5 makes the mean square 0.25; biases of 0.1 are within twice the magnitudes.
      const normed = o.norm ? scaled(input, hidden) : input;
      const bound = gatedBound(normed, gate, up, down, rows, hidden, inner);
      const slack = o.bias ? 2 : 1;
      const biased = o.bias
        ? gatedBound(
            normed.map((v) => Math.abs(v) + 0.1),
            gate,
            up,
            down,
            rows,
            hidden,
            inner,
          )
        : bound;
      expectClose(
        actual,
        expected,
        (i) =>
          slack * Math.max(bound[i], biased[i]) +
          (o.bias || o.add ? 4 * unitRoundoff * (1 + Math.abs(expected[i])) : 0) +
          (o.bias ? 1e-6 * inner : 0),
      );
    },
  );
};

againstReference('gated MLP', gatedMlp, tested);

/** Under a norm with gain 0.5. */
function scaled(x: Float32Array, width: number): Float32Array {
  return x.map((value, at) => {
    const row = x.subarray(Math.floor(at / width) * width, (Math.floor(at / width) + 1) * width);
    return (value * 0.5) / Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / width + 1e-5);
  });
}

const mixture = (pair: () => Pair): void => {
  holds(
    'any number of experts, chosen and empty ones',
    fc.record({
      seed,
      rows: size(20),
      hidden: size(24),
      inner: size(20),
      experts: size(9),
      k: fc.nat(),
      normalise: fc.boolean(),
      scoring: fc.constantFrom('softmax', 'sigmoid'),
      scale: fc.option(fc.constantFrom(0.5, 2.5), { nil: undefined }),
      norm: fc.boolean(),
      add: fc.boolean(),
      activation,
    }),
    async ({ seed, rows, hidden, inner, experts, k, normalise, scoring, scale, ...o }) => {
      const topK = 1 + (k % experts);
      const [gate, up, down] = [
        random(seed, [experts, inner, hidden]),
        random(seed + 1, [experts, inner, hidden]),
        random(seed + 2, [experts, hidden, inner]),
      ];
      const input = random(seed + 3, [rows, hidden]);
      const [actual, expected] = await pair().run(async (engine) => {
        using router = await weight(engine, random(seed + 4, [experts, hidden], 3), [experts, hidden], 'linear');
        using g = await weight(engine, gate, [experts, inner, hidden], 'experts');
        using u = await weight(engine, up, [experts, inner, hidden], 'experts');
        using d = await weight(engine, down, [experts, hidden, inner], 'experts');
        const norm = o.norm ? { gain: engine.tensor(new Float32Array(hidden).fill(0.5)), epsilon: 1e-5 } : undefined;
        const add = o.add ? floats(engine, seed + 7, [rows, hidden]) : undefined;
        return await engine.readFloats(
          engine.moe(
            engine.tensor(input, [rows, hidden]),
            router,
            { gate: { weight: g }, up: { weight: u }, down: { weight: d }, activation: o.activation },
            { topK, normalise, scoring, scale },
            { norm, add },
          ),
        );
      });
      // Weights are at most 1 and sum to at most 1 (of sigmoids to topK), before they are scaled: an expert's bound holds for their mean; the weights themselves are off
      // by what the router's logits are, e^(2 * 3 * gamma_hidden * |x|_1), on results no larger than their magnitudes.
      const normed = o.norm ? scaled(input, hidden) : input;
      const part = (w: Float32Array, expert: number): Float32Array =>
        w.subarray(expert * inner * hidden, (expert + 1) * inner * hidden);
      const bounds = Array.from({ length: experts }, (_, e) =>
        gatedBound(normed, part(gate, e), part(up, e), part(down, e), rows, hidden, inner),
      );
      const logits = 6 * (1.5 * hidden + 8) * unitRoundoff * hidden;
      expectClose(
        actual,
        expected,
        (i) =>
          (bounds.reduce((most, bound) => Math.max(most, bound[i]), 0) * 2 +
            (logits + (experts + 8) * unitRoundoff) * (hidden + Math.abs(expected[i])) * inner) *
          (scoring === 'sigmoid' ? topK : 1) *
          (scale ?? 1),
      );
    },
  );

  holds(
    'experts that differ only in scale',
    fc.record({ seed, rows: size(9), hidden: size(16) }),
    async ({ seed, rows, hidden }) => {
      // Zero logits: all experts are equally likely, and ties go to the lower indices.
      const experts = 5;
      const [actual, expected] = await pair().run(async (engine) => {
        using router = await weight(engine, new Float32Array(experts * hidden), [experts, hidden], 'linear');
        using g = await weight(engine, random(seed, [experts, 8, hidden]), [experts, 8, hidden], 'experts');
        using u = await weight(engine, random(seed + 1, [experts, 8, hidden]), [experts, 8, hidden], 'experts');
        using d = await weight(engine, random(seed + 2, [experts, hidden, 8]), [experts, hidden, 8], 'experts');
        return await engine.readFloats(
          engine.moe(
            floats(engine, seed + 3, [rows, hidden]),
            router,
            { gate: { weight: g }, up: { weight: u }, down: { weight: d } },
            { topK: 2, normalise: true },
          ),
        );
      });
      // |g|, |u| <= hidden, so |h| <= hidden^2 and |y| <= 8 hidden^2; errors are (2.2 hidden + 20) roundings of that.
      expectClose(actual, expected, (2.2 * hidden + 20) * unitRoundoff * 8 * hidden ** 2);
    },
  );

  holds(
    'counts what each expert does, over calls, and computes the same',
    fc.record({ seed, rows: size(20), hidden: size(30), experts: size(6), normalise: fc.boolean(), chosen: fc.nat(5) }),
    async ({ seed, rows, hidden, experts, normalise, chosen }) => {
      const topK = 1 + (chosen % experts);
      const [actual, expected] = await pair().run(async (engine) => {
        using router = await weight(engine, random(seed, [experts, hidden]), [experts, hidden], 'linear');
        const shape = [experts, hidden, hidden];
        using g = await weight(engine, random(seed + 1, shape), shape, 'experts');
        using sums = engine.accumulator(2 + 3 * experts);
        const projections = { gate: { weight: g }, up: { weight: g }, down: { weight: g } };
        for (const call of [0, 1]) {
          const x = floats(engine, seed + 2 + call, [rows, hidden]);
          const spec = { topK, normalise, scale: 2 };
          const plain = engine.moe(x, router, projections, spec);
          const counted = engine.moe(x, router, projections, spec, {}, { into: sums, index: 1 });
          expect(await engine.readFloats(counted)).toEqual(await engine.readFloats(plain));
        }
        return await engine.readAccumulator(sums);
      });
      const parts = (all: ArrayLike<number>): number[][] =>
        [0, 1, 2].map((kind) => Array.from(all).slice(1 + kind * experts, 1 + (kind + 1) * experts));
      const [visits, weights, outputs] = parts(actual);
      const [, ...rest] = parts(expected);
      expect([actual[0], actual[actual.length - 1]]).toEqual([0, 0]); // what lies around stays
      expect(visits.reduce((sum, count) => sum + count, 0)).toBe(2 * rows * topK);
      expect(visits).toEqual(parts(expected)[0]);
      // A weight is off by what its logit is, of |x| <= 1; a result of at most hidden^3 by as many roundings as its sums have.
      const logits = 6 * (1.5 * hidden + 8) * unitRoundoff * hidden;
      expectClose(weights, rest[0], 4 * rows * (logits + (experts + 8) * unitRoundoff));
      const largest = hidden ** 3.5;
      expectClose(outputs, rest[1], 4 * rows * largest * (logits + (3 * hidden + experts + 30) * unitRoundoff));
    },
  );
};

againstReference('mixture of experts', mixture, tested);

it('routes ties to the lower index', () => {
  const visits = route(Float32Array.of(0.25, 0.25, 0.25, 0.25, 0.1, 0.4, 0.4, 0.1), 4, { topK: 2, normalise: true });
  expect(visits.map((of) => of.map(({ row }) => row))).toEqual([[0], [0, 1], [1], []]);
  expect(visits[1].map(({ weight }) => weight)).toEqual([0.5, 0.5]);
});
