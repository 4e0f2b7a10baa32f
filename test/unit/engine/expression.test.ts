import { describe, expect, it } from 'vitest';
import { broadcastOf } from '../../../src/engine/broadcast.js';
import { interpret, logitExpression, mentions, textOf, type Expression } from '../../../src/engine/expression.js';
import { algebra, erf } from '../../../src/engine/reference/algebra.js';

const softCapped: Expression = ['multiply', ['tanh', ['divide', 'x', 30]], 30];

describe('expressions', () => {
  it('are read from the inside', () => {
    const e: Expression = ['subtract', ['multiply', 'x', ['maximum', 'y', 0]], ['divide', 'x', ['add', 'x', 4]]];
    expect(interpret(e, algebra, 2, 5)).toBe(2 * 5 - 2 / 6);
    expect(interpret(e, algebra, 2, -5)).toBe(-2 / 6);
    expect(interpret(['minimum', ['exp', 'x'], 3], algebra, 9)).toBe(3);
  });

  it('tell what they hold, and are told apart by their text', () => {
    expect(mentions(softCapped, 'tanh')).toBe(true);
    expect(mentions(softCapped, 'y')).toBe(false);
    expect(mentions('y', 'y')).toBe(true);
    expect(textOf(softCapped)).toBe('(multiply (tanh (divide x 30)) 30)');
    expect(textOf(Infinity)).not.toBe(textOf(NaN));
  });

  it('of logits scale first, then cap', () => {
    expect(logitExpression({})).toBeUndefined();
    expect(interpret(logitExpression({ scale: 0.25 })!, algebra, 3)).toBe(0.75);
    expect(interpret(logitExpression({ softCap: 30 })!, algebra, 100)).toBe(30 * Math.tanh(100 / 30));
    expect(interpret(logitExpression({ scale: 0.5, softCap: 30 })!, algebra, 100)).toBe(30 * Math.tanh(50 / 30));
  });
});

describe('activations', () => {
  it('erf has the digits of the tables', () => {
    // Abramowitz and Stegun, table 7.1.
    const table = { 0: 0, 0.1: 0.1124629160183, 0.5: 0.5204998778, 1: 0.8427007929, 2: 0.995322265, 3: 0.9999779095 };
    for (const [x, y] of Object.entries(table))
      for (const sign of [1, -1]) expect(erf(sign * Number(x))).toBeCloseTo(sign * y, 10);
    expect(erf(7)).toBe(1);
    expect(erf(-Infinity)).toBe(-1);
  });

  it('have the values of their definitions', () => {
    // By numpy and scipy in float64; transformers' gelu is the exact one, its gelu_pytorch_tanh and gelu_new gelu_tanh.
    const x = [-3, -1, -0.5, 0, 0.5, 1, 3];
    const values = {
      silu: [-0.1422776195, -0.2689414214, -0.1887703343, 0, 0.3112296657, 0.7310585786, 2.8577223805],
      gelu: [-0.0040496942, -0.1586552539, -0.1542687695, 0, 0.3457312306, 0.8413447461, 2.9959503058],
      gelu_tanh: [-0.0036373921, -0.1588080094, -0.1542859902, 0, 0.3457140098, 0.8411919906, 2.9963626079],
    };
    for (const [name, of] of Object.entries(values))
      x.forEach((at, i) => expect(algebra[name as keyof typeof values](at), `${name}(${at})`).toBeCloseTo(of[i], 9));
  });
});

describe('a second operand', () => {
  it('lies beside x, repeats over rows, or is one a row or one for all', () => {
    expect(broadcastOf([4, 3])).toEqual({ rows: 4, width: 3, rowStride: 0, columnStride: 0 });
    expect(broadcastOf([4, 3], [4, 3])).toEqual({ rows: 4, width: 3, rowStride: 3, columnStride: 1 });
    expect(broadcastOf([4, 3], [3])).toEqual({ rows: 4, width: 3, rowStride: 0, columnStride: 1 });
    expect(broadcastOf([5, 4, 3], [4, 3])).toEqual({ rows: 5, width: 12, rowStride: 0, columnStride: 1 });
    expect(broadcastOf([4, 3], [4, 1])).toEqual({ rows: 4, width: 3, rowStride: 1, columnStride: 0 });
    expect(broadcastOf([4, 3], [1])).toEqual({ rows: 4, width: 3, rowStride: 0, columnStride: 0 });
    expect(broadcastOf([4, 3], [4])).toBeUndefined();
    expect(broadcastOf([4, 3], [1, 3])).toBeUndefined();
    expect(broadcastOf([3], [2, 3])).toBeUndefined();
  });
});
