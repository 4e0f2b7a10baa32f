import ndarray from 'ndarray';
import type { Engine } from './engine.js';
import type { Tensor } from './tensor.js';

/** A tensor's values as an ndarray, for strided views (`pick`, `lo`, `hi`, `transpose`) on the host. */
export async function toNdarray(engine: Engine, t: Tensor): Promise<ndarray.NdArray<Float32Array | Int32Array>> {
  return ndarray(await engine.read(t), [...t.shape]) as ndarray.NdArray<Float32Array | Int32Array>;
}

/** A tensor from an ndarray of any strides (float32). */
export function fromNdarray(engine: Engine, view: ndarray.NdArray): Tensor {
  const values = new Float32Array(view.size);
  const index = view.shape.map(() => 0);
  for (let i = 0; i < values.length; i++) {
    values[i] = view.get(...index) as number;
    for (let axis = index.length - 1; axis >= 0 && ++index[axis] === view.shape[axis]; axis--) index[axis] = 0;
  }
  return engine.tensor(values, view.shape);
}
