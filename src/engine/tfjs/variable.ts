import type { Shape } from '../errors.js';
import type { Tensor } from './load.js';
import { float32, int32, type TensorFlow } from './tensorflow.js';

/** The name of a variable that has none, by which TensorFlow gives each its own. */
const anonymous = 'cd2c89b7-88b7-44c8-ad83-06c2a9158347';

/** A float32 tensor on the device that changes in place. It begins with zeros. */
export class Variable {
  /** What operations know it by. */
  readonly #handle: Tensor;

  constructor(
    private readonly flow: TensorFlow,
    readonly shape: Shape,
  ) {
    const { tf } = flow;
    const attributes = { dtype: float32, shape, container: '', shared_name: anonymous };
    this.#handle = tf.keep(flow.run('VarHandleOp', [], attributes));
    flow.runAll('AssignVariableOp', [this.#handle, tf.zeros([...shape])], { dtype: float32, validate_shape: false }, 0);
  }

  /** All of it as it is now. Free the result before the next write, which would copy the variable otherwise. */
  read(): Tensor {
    return this.flow.run('ReadVariableOp', [this.#handle], { dtype: float32 });
  }

  /** Overwrites what begins at `begin` with a tensor of as many axes. */
  write(begin: readonly number[], values: Tensor): void {
    const { tf } = this.flow;
    const ends = begin.map((first, axis) => first + values.shape[axis]);
    const bounds = [begin, ends, begin.map(() => 1)].map((each) => tf.tensor1d([...each], 'int32'));
    const masks = { begin_mask: 0, end_mask: 0, ellipsis_mask: 0, new_axis_mask: 0, shrink_axis_mask: 0 };
    const inputs = [this.#handle, ...bounds, values];
    this.flow.runAll('ResourceStridedSliceAssign', inputs, { T: float32, Index: int32, ...masks }, 0);
  }

  dispose(): void {
    this.flow.runAll('DestroyResourceOp', [this.#handle], { ignore_lookup_error: true }, 0);
    this.#handle.dispose();
  }
}
