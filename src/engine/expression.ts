/**
 * Elementwise computations as data that every backend interprets, so that a model's scale, soft cap or gate is written
 * down where the model is described: `['multiply', ['tanh', ['divide', 'x', 30]], 30]`.
 */

/** What a gated MLP applies to its gate: x sigmoid(x), x Phi(x), or the latter's approximation by tanh. */
export type Activation = 'silu' | 'gelu' | 'gelu_tanh';

export type UnaryOperation = Activation | 'tanh' | 'sigmoid' | 'exp';
export type BinaryOperation = 'add' | 'subtract' | 'multiply' | 'divide' | 'maximum' | 'minimum';

/** x is an element of the tensor that is mapped, y the element of a second one that belongs to it. */
export type Expression =
  'x' | 'y' | number | readonly [UnaryOperation, Expression] | readonly [BinaryOperation, Expression, Expression];

/** How one kind of value (a number, a tensor, a kernel's variable) is computed with. */
export type Algebra<T> = {
  readonly [O in UnaryOperation]: (a: T) => T;
} & {
  readonly [O in BinaryOperation]: (a: T, b: T) => T;
} & {
  readonly constant: (value: number) => T;
};

/** The expression's value at x, and y where it has one. */
export function interpret<T>(expression: Expression, algebra: Algebra<T>, x: T, y?: T): T {
  if (expression === 'x') return x;
  if (expression === 'y') return y as T;
  if (typeof expression === 'number') return algebra.constant(expression);
  const value = (of: Expression): T => interpret(of, algebra, x, y);
  return expression.length === 2
    ? algebra[expression[0]](value(expression[1]))
    : algebra[expression[0]](value(expression[1]), value(expression[2]));
}

/** Whether an operation or input, `y` say, occurs in it. */
export const mentions = (expression: Expression, what: 'x' | 'y' | UnaryOperation | BinaryOperation): boolean =>
  expression === what || (Array.isArray(expression) && expression.some((part: Expression) => mentions(part, what)));

/** The same text for the same expression. */
export const textOf = (expression: Expression): string =>
  Array.isArray(expression) ? `(${expression.map((part: Expression) => textOf(part)).join(' ')})` : String(expression);

/** activation(x) * y: x of a gate, y what it lets through. */
export const gatedBy = (activation: Activation): Expression => ['multiply', [activation, 'x'], 'y'];

/** What becomes of a head's logits; undefined where they stay as they are. */
export function logitExpression({ scale, softCap }: { scale?: number; softCap?: number }): Expression | undefined {
  if (scale === undefined && softCap === undefined) return undefined;
  const scaled: Expression = scale === undefined ? 'x' : ['multiply', 'x', scale];
  return softCap === undefined ? scaled : ['multiply', ['tanh', ['divide', scaled, softCap]], softCap];
}
