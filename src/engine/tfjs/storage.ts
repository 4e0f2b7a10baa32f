import type { Operand } from '../backend.js';
import { sizeOf, type Storage } from '../tensor.js';
import type { Tensor, Tf } from './load.js';

/** What a backend has not yet freed. */
export type Live = Set<Storage>;

/** Counted among a backend's live storages until it is freed. */
export abstract class TfStorage implements Storage {
  abstract readonly bytes: number;

  constructor(private readonly live: Live) {
    live.add(this);
  }

  /** All that it holds now. */
  protected abstract tensors(): readonly Tensor[];

  free(): void {
    for (const tensor of this.tensors()) tensor.dispose();
    this.live.delete(this);
  }
}

/** A tensor or a weight: one TensorFlow.js tensor, or one for each expert. */
export class TensorStorage extends TfStorage {
  readonly bytes: number;

  constructor(
    live: Live,
    readonly parts: readonly Tensor[],
  ) {
    super(live);
    this.bytes = 4 * parts.reduce((sum, { size }) => sum + size, 0);
  }

  protected tensors(): readonly Tensor[] {
    return this.parts;
  }
}

/** What an operand views, in its shape; a part of a storage is sliced where the storage lies. */
export function view(tf: Tf, { storage, offset, shape }: Operand, as = shape): Tensor {
  const [tensor] = (storage as TensorStorage).parts;
  const size = sizeOf(shape);
  const whole = offset === 0 && tensor.size === size;
  return tf.reshape(whole ? tensor : tf.slice(tf.reshape(tensor, [tensor.size]), offset, size), [...as]);
}

export const weightOf = ({ storage }: { storage: Storage }): Tensor => (storage as TensorStorage).parts[0];
