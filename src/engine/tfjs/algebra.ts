/** Elementwise operations as those of TensorFlow.js; constants stay scalars that it repeats. */
import type { Algebra } from '../expression.js';
import type { Tensor, Tf } from './load.js';

export const algebra = (tf: Tf): Algebra<Tensor> => {
  const timesSigmoid = (x: Tensor, of: Tensor): Tensor => tf.mul(x, tf.sigmoid(of));
  return {
    constant: (value) => tf.scalar(value),
    add: tf.add,
    subtract: tf.sub,
    multiply: tf.mul,
    divide: tf.div,
    maximum: tf.maximum,
    minimum: tf.minimum,
    exp: tf.exp,
    tanh: tf.tanh,
    sigmoid: tf.sigmoid,
    silu: (x) => timesSigmoid(x, x),
    gelu: (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)),
    // (1 + tanh(u)) / 2 = sigmoid(2 u)
    gelu_tanh: (x) => {
      const cubed = tf.mul(tf.mul(tf.square(x), x), 0.044715);
      return timesSigmoid(x, tf.mul(tf.add(x, cubed), 2 * Math.sqrt(2 / Math.PI)));
    },
  };
};
