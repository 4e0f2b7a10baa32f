import type { Operand, PackedWeight } from '../backend.js';
import type { Shape } from '../errors.js';
import { sizeOf, type Storage } from '../tensor.js';
import type { Tensor, Tf } from './load.js';
import type { Matrix } from './matrix.js';

/** What a backend has not yet freed. */
export type Live = Set<Storage>;

/** Counted among a backend's live storages until it is freed. */
export abstract class TfStorage implements Storage {
  abstract readonly bytes: number;

  constructor(private readonly live: Live) {
    live.add(this);
  }

  /** All that it holds now. */
  protected abstract tensors(): readonly { dispose(): void }[];

  free(): void {
    for (const tensor of this.tensors()) tensor.dispose();
    this.live.delete(this);
  }
}

export class TensorStorage extends TfStorage {
  readonly bytes: number;

  constructor(
    live: Live,
    readonly tensor: Tensor,
  ) {
    super(live);
    this.bytes = 4 * tensor.size;
  }

  protected tensors(): readonly Tensor[] {
    return [this.tensor];
  }
}

/** A weight: a matrix, or one for each expert. */
export class WeightStorage extends TfStorage {
  readonly bytes: number;

  constructor(
    live: Live,
    readonly matrices: readonly Matrix[],
  ) {
    super(live);
    this.bytes = matrices.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  protected tensors(): readonly Tensor[] {
    return this.matrices.flatMap(({ tensors }) => tensors);
  }
}

/** x in a shape. An operation costs more than a look at the shape that it has. */
export const reshaped = (tf: Tf, x: Tensor, shape: Shape): Tensor =>
  x.shape.length === shape.length && shape.every((size, axis) => size === x.shape[axis])
    ? x
    : tf.reshape(x, [...shape]);

/**
 * What an operand views, in its shape: the storage's own tensor where that is it, so not to be disposed. A part of a
 * storage is sliced where the storage lies.
 */
export function view(tf: Tf, { storage, offset, shape }: Operand, as = shape): Tensor {
  const { tensor } = storage as TensorStorage;
  const size = sizeOf(shape);
  const whole = offset === 0 && tensor.size === size;
  return reshaped(tf, whole ? tensor : tf.slice(reshaped(tf, tensor, [tensor.size]), offset, size), as);
}

export const expertsOf = ({ storage }: PackedWeight): readonly Matrix[] => (storage as WeightStorage).matrices;

export const matrixOf = (weight: PackedWeight): Matrix => expertsOf(weight)[0];
