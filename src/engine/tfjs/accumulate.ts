/**
 * Running sums. TensorFlow.js has no float64, so each is a pair of float32: the sum and what rounding has taken from it
 * so far (two-sum; Knuth, The Art of Computer Programming 2, 4.2.2), whose total is as good as a float64 for many
 * additions.
 */
import type { Tensor, Tf } from './load.js';
import { TfStorage, type Live } from './storage.js';

export class AccumulatorStorage extends TfStorage {
  #pair: readonly Tensor[];
  readonly bytes: number;

  constructor(
    live: Live,
    private readonly tf: Tf,
    private readonly length: number,
  ) {
    super(live);
    this.#pair = [tf.keep(tf.zeros([length])), tf.keep(tf.zeros([length]))];
    this.bytes = 8 * length;
  }

  /** Adds [length] values. */
  add(values: Tensor): void {
    const { tf } = this;
    const [sum, lost] = this.#pair;
    const next = tf.tidy(() => {
      const total = tf.add(sum, values);
      const part = tf.sub(total, sum);
      const rest = tf.add(tf.sub(sum, tf.sub(total, part)), tf.sub(values, part));
      return [total, tf.add(lost, rest)];
    });
    for (const tensor of this.#pair) tensor.dispose();
    this.#pair = next.map((tensor) => tf.keep(tensor));
  }

  /** Adds one value to one element. */
  addAt(index: number, value: Tensor): void {
    const place = new Float32Array(this.length);
    place[index] = 1;
    this.add(this.tf.mul(this.tf.tensor1d(place), value));
  }

  /** Adds values to the elements from `index` on. */
  addFrom(index: number, values: Tensor): void {
    this.add(this.tf.pad(values, [[index, this.length - index - values.size]]));
  }

  async read(): Promise<Float64Array> {
    const [sum, lost] = await Promise.all(this.#pair.map((tensor) => tensor.data()));
    return Float64Array.from(sum, (value, i) => value + lost[i]);
  }

  protected tensors(): readonly Tensor[] {
    return this.#pair;
  }
}

/** Norms below this count as this. */
const smallestNorm = 1e-8;

/** Sum over rows of the cosine of a's and b's. */
export function cosines(tf: Tf, a: Tensor, b: Tensor): Tensor {
  const norm = (x: Tensor): Tensor => tf.maximum(tf.sqrt(tf.sum(tf.square(x), 1)), smallestNorm);
  return tf.sum(tf.div(tf.sum(tf.mul(a, b), 1), tf.mul(norm(a), norm(b))));
}
