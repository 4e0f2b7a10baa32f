import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ShapeError, type Expression } from '../../src/engine/index.js';
import type { Engine } from '../../src/engine/engine.js';
import type { Shape } from '../../src/engine/errors.js';
import { mentions } from '../../src/engine/expression.js';
import { againstReference, floats, holds, seed, size } from '../support/backends.js';
import { expectClose, unitRoundoff } from '../support/expectClose.js';

const u = unitRoundoff;

/** Expressions of x in (-9, 9) and, where it is there, y in (-9, 9), with what rounding may do to them. */
const expressions: readonly (readonly [Expression, bound: (expected: number) => number])[] = [
  [['multiply', 'x', 'y'], (e) => u * Math.abs(e)],
  [['subtract', 'x', 'y'], (e) => u * Math.abs(e)],
  [['add', 'x', 0.5], (e) => u * Math.abs(e)],
  [['maximum', 'x', 0], () => 0],
  [['minimum', ['maximum', 'x', -2], 2], () => 0],
  // y * y + 1 is rounded twice, the quotient once.
  [['divide', 'x', ['add', ['multiply', 'y', 'y'], 1]], (e) => 4 * u * Math.abs(e)],
  // An exponential is off by 2 ulp = 4 u, in TensorFlow.js by its own double's rounding.
  [['exp', 'x'], (e) => 5 * u * Math.abs(e)],
  [['sigmoid', 'x'], (e) => 8 * u * Math.abs(e)],
  [['silu', 'x'], (e) => 8 * u * Math.abs(e)],
  // Of x: the polynomials are within 4 u, TensorFlow.js's own erf (Abramowitz and Stegun 7.1.26) within 1.5e-7 / 2 of |x| <= 9.
  [['gelu', 'x'], () => 9 * (4 * u + 0.75e-7)],
  // The argument, up to 45, is off by 3 roundings, which counts by s (1 - s) u |argument| < 0.3: less than 8 u of x in all.
  [['gelu_tanh', 'x'], () => 9 * 8 * u],
  [['tanh', 'x'], (e) => 8 * u * Math.abs(e)],
  [['multiply', ['tanh', ['divide', ['multiply', 'x', 10], 30]], 30], (e) => 12 * u * Math.abs(e)],
  [['multiply', 'x', ['sigmoid', 'y']], (e) => 10 * u * Math.abs(e)],
  [['multiply', ['gelu', 'x'], 'y'], () => 81 * (5 * u + 0.75e-7)],
];

againstReference('map', (pair) => {
  const shapeOf = (kind: string, shape: Shape): Shape =>
    ({ same: shape, tail: shape.slice(1), perRow: [...shape.slice(0, -1), 1], one: [1] })[kind]!;

  holds(
    'any expression, y laid out in any way',
    fc.record({
      seed,
      shape: fc.tuple(size(9), size(5), size(40)),
      kind: fc.constantFrom('same', 'tail', 'perRow', 'one'),
      at: fc.nat({ max: expressions.length - 1 }),
    }),
    async ({ seed, shape, kind, at }) => {
      const [expression, bound] = expressions[at];
      const second = (engine: Engine) => floats(engine, seed + 1, shapeOf(kind, shape), 9);
      const [actual, expected] = await pair().run((engine) =>
        engine.readFloats(
          engine.map(
            floats(engine, seed, shape, 9),
            expression,
            mentions(expression, 'y') ? second(engine) : undefined,
          ),
        ),
      );
      expectClose(actual, expected, (i) => bound(expected[i]), JSON.stringify(expression));
    },
    60,
  );

  it('of what x does not appear in is repeated for each of its elements', async () => {
    for (const [expression, y] of [
      [0.5, undefined],
      ['y', [2, 1]],
      [['add', 'y', 1], [3]],
    ] as const) {
      const [actual, expected] = await pair().run((engine) =>
        engine.readFloats(engine.map(floats(engine, 1, [2, 3]), expression, y && floats(engine, 2, y))),
      );
      expect(actual).toEqual(expected);
    }
  });

  it('of a part of a tensor, and of none, keeps the shape', async () => {
    const { device } = pair();
    using scope = device.scope();
    const x = device.tensor([1, 2, 3, 4, 5, 6], [3, 2]);
    const y = device.map(x.rows(1, 3), ['multiply', 'x', 'y'], x.rows(0, 2));
    expect(y.shape).toEqual([2, 2]);
    expect([...(await device.readFloats(y))]).toEqual([3, 8, 15, 24]);
    const none = device.map(x.rows(3, 3), ['tanh', 'x']);
    expect(none.shape).toEqual([0, 2]);
    expect(await device.readFloats(none)).toEqual(new Float32Array(0));
    void scope;
  });

  it('refuses what does not fit', () => {
    const { device } = pair();
    using _scope = device.scope();
    const x = device.zeros([2, 3]);
    expect(() => device.map(x, ['add', 'x', 'y'])).toThrow(ShapeError);
    expect(() => device.map(x, ['tanh', 'x'], x)).toThrow(/no use for y/);
    expect(() => device.map(x, ['add', 'x', 'y'], device.zeros([2]))).toThrow(ShapeError);
    expect(() => device.map(device.tensor(new Int32Array(3)), ['tanh', 'x'])).toThrow(ShapeError);
  });

  it('applies an activation to gates', async () => {
    for (const activation of [undefined, 'silu', 'gelu', 'gelu_tanh'] as const) {
      const [actual, expected] = await pair().run((engine) =>
        engine.readFloats(
          engine.gatedActivation(floats(engine, 1, [5, 13], 4), floats(engine, 2, [5, 13]), activation),
        ),
      );
      // As above: silu within 8 u, the others within 4 (8 u) and TensorFlow.js's erf.
      expectClose(actual, expected, 4 * (8 * u + 0.75e-7), activation ?? 'the default');
    }
    const { device } = pair();
    using _scope = device.scope();
    expect(() => device.gatedActivation(device.zeros([2, 3]), device.zeros([3, 2]))).toThrow('shapes differ');
  });
});
