import { interpret, mentions, textOf, type Algebra, type Expression } from '../../expression.js';
import { fusibleModule, kernel, type Kernel } from '../compiler/kernel.js';
import { coerce, constant, load, type Float } from '../compiler/language.js';
import { each } from '../compiler/loops.js';
import { gelu, geluTanh, sigmoid, silu, tanh } from './activation.js';
import { exponential } from './exp.js';

/** Where the second operand is: nowhere, an element beside each of x, or one for each row. */
export type Second = 'none' | 'beside' | 'perRow';

/** An expression at x and y, for one float or four. */
function compiled(k: Kernel, fused: boolean, expression: Expression): (x: Float, y?: Float) => Float {
  const exp = exponential(k, fused);
  const once =
    (f: (x: Float) => Float) =>
    (x: Float): Float =>
      f(k.let(x));
  /** An operation with constants of its own, which are declared where the expression has it. */
  const withConstants = (name: 'gelu' | 'tanh', make: typeof gelu): ((x: Float) => Float) =>
    mentions(expression, name) ? make(k, exp, fused) : (x) => x;
  const operations: Omit<Algebra<Float>, 'constant'> = {
    add: (a, b) => a.plus(b),
    subtract: (a, b) => a.minus(b),
    multiply: (a, b) => a.times(b),
    divide: (a, b) => a.over(b),
    maximum: (a, b) => a.max(b),
    minimum: (a, b) => a.min(b),
    exp,
    sigmoid: (x) => sigmoid(exp, x),
    silu: once((x) => silu(exp, x)),
    gelu_tanh: once((x) => geluTanh(exp, x)),
    gelu: withConstants('gelu', gelu),
    tanh: withConstants('tanh', tanh),
  };
  return (x, y) =>
    interpret(
      expression,
      { ...operations, constant: (value) => constant(x.kind, value) },
      k.let(x),
      y && k.let(coerce(y, x.kind)),
    );
}

const makeModule = (expression: Expression, second: Second) =>
  fusibleModule('map', (fused) => ({
    /** `rows` rows of `width` floats, y's `yStride` bytes apart, to `target`, which may be x or y. */
    map: kernel(
      { x: 'i32', y: 'i32', target: 'i32', rows: 'i32', width: 'i32', yStride: 'i32' },
      (k, { x, y, target, rows, width, yStride }) => {
        const value = compiled(k, fused, expression);
        k.repeat(rows, () => {
          if (second === 'beside')
            each(k, width, [x, y, target], (left, right, to) => to.store(value(left.load(), right.load())));
          else {
            const one = second === 'perRow' ? k.let(load.f32(y)) : undefined;
            each(k, width, [x, target], (from, to) => to.store(value(from.load(), one)));
          }
          for (const row of [x, target]) row.add(width.times(4));
          y.add(yStride);
        });
      },
    ),
  }));

type Module = ReturnType<typeof makeModule>;
const made = new Map<string, Module>();

/** An expression's kernel, made once a process. */
export function mapModule(expression: Expression, second: Second): Module {
  const key = `${second} ${textOf(expression)}`;
  let found = made.get(key);
  if (!found) made.set(key, (found = makeModule(expression, second)));
  return found;
}
