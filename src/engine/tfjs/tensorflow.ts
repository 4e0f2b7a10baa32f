/**
 * TensorFlow's own operations, which the binding of tfjs-node runs by name. TensorFlow.js calls few of them, and knows no
 * types of 8 and 16 bits and no variables. What comes out is a tensor of TensorFlow.js all the same, so that tidying,
 * keeping and disposing go for it; one of a type that TensorFlow.js has no name for is 'float32' to it, and only the
 * operations here may take it.
 */
import type { Shape } from '../errors.js';
import type { Tensor, Tf } from './load.js';

/** An element type, by TensorFlow's number (`TF_DataType`). */
export interface Type {
  readonly type: number;
}
export const float32: Type = { type: 1 };
export const int32: Type = { type: 3 };
export const uint8: Type = { type: 4 };
export const int8: Type = { type: 6 };
export const bfloat16: Type = { type: 14 };
export const float16: Type = { type: 19 };

/** By the operation's names for them. Numbers are integers. */
export type Attributes = Readonly<Record<string, Type | boolean | number | string | Shape>>;

interface Result {
  readonly id: number;
  readonly shape: number[];
  readonly dtype: number;
}

interface Binding extends Readonly<Record<`TF_ATTR_${'TYPE' | 'BOOL' | 'INT' | 'STRING' | 'SHAPE'}`, number>> {
  readonly TF_Version: string;
  createTensor(shape: Shape, type: number, values: Uint8Array): number;
  executeOp(name: string, attributes: readonly object[], inputs: readonly number[], outputs: number): Result[];
}

/** What tfjs-node registers as 'tensorflow'. */
interface NodeBackend {
  readonly binding: Binding;
  readonly tensorMap: {
    get(id: object): { readonly dtype: number };
    set(id: object, data: Result & { readonly values: null; readonly refCount: number }): void;
  };
  getInputTensorIds(tensors: readonly Tensor[]): number[];
}

export class TensorFlow {
  readonly #device: NodeBackend;

  constructor(readonly tf: Tf) {
    this.#device = tf.backend() as unknown as NodeBackend;
  }

  get version(): string {
    return this.#device.binding.TF_Version;
  }

  /** Runs an operation that has one result. */
  run(name: string, inputs: readonly Tensor[], attributes: Attributes): Tensor {
    return this.runAll(name, inputs, attributes, 1)[0];
  }

  /** Runs an operation that has so many results. */
  runAll(name: string, inputs: readonly Tensor[], attributes: Attributes, results: number): Tensor[] {
    const { binding } = this.#device;
    const given = Object.entries(attributes).map(([key, value]) => encoded(binding, key, value));
    const ids = this.#device.getInputTensorIds(inputs);
    return binding.executeOp(name, given, ids, results).map((result) => this.#owned(result));
  }

  /** The element type that a tensor has on the device. */
  typeOf(x: Tensor): Type {
    return { type: this.#device.tensorMap.get(x.dataId).dtype };
  }

  /** Bytes, copied, as a tensor of elements of 1 or 2 bytes. They go up as uint8, for int32 would stay with the host. */
  upload(bytes: Uint8Array, shape: Shape, as: Type): Tensor {
    const wide = as === float16 || as === bfloat16;
    const stored = wide ? [...shape, 2] : [...shape];
    const id = this.#device.binding.createTensor(stored, uint8.type, bytes);
    const uploaded = this.#owned({ id, shape: stored, dtype: uint8.type });
    if (as === uint8) return uploaded;
    const result = this.run('Bitcast', [uploaded], { T: uint8, type: as });
    uploaded.dispose();
    return result;
  }

  cast(x: Tensor, to: Type): Tensor {
    return this.run('Cast', [x], { SrcT: this.typeOf(x), DstT: to, Truncate: false });
  }

  reshape(x: Tensor, shape: readonly number[]): Tensor {
    return this.run('Reshape', [x, this.tf.tensor1d([...shape], 'int32')], { T: this.typeOf(x), Tshape: int32 });
  }

  /** Entries [first, first + count) of the first axis; where they lie aligned, no copy. */
  slice(x: Tensor, first: number, count: number): Tensor {
    const [begin, size] = [first, count].map((value, i) =>
      this.tf.tensor1d(
        x.shape.map((_, axis) => (axis === 0 ? value : -i)),
        'int32',
      ),
    );
    return this.run('Slice', [x, begin, size], { T: this.typeOf(x), Index: int32 });
  }

  /** Entries of the first axis by index. `tf.gather` reads the indices back to check them, this does not. */
  gather(x: Tensor, indices: Tensor): Tensor {
    const axis = this.tf.scalar(0, 'int32');
    return this.run('GatherV2', [x, indices, axis], {
      Tparams: this.typeOf(x),
      Tindices: int32,
      Taxis: int32,
      batch_dims: 0,
    });
  }

  /** A tensor of TensorFlow.js that owns a result. */
  #owned(result: Result): Tensor {
    const dataId = {};
    this.#device.tensorMap.set(dataId, { ...result, values: null, refCount: 1 });
    const dtype = result.dtype === int32.type ? 'int32' : 'float32';
    return this.tf.engine().makeTensorFromTensorInfo({ dataId, shape: result.shape, dtype }, this.#device as never);
  }
}

function encoded(binding: Binding, name: string, value: Attributes[string]): object {
  switch (typeof value) {
    case 'boolean':
      return { name, type: binding.TF_ATTR_BOOL, value };
    case 'number':
      return { name, type: binding.TF_ATTR_INT, value };
    case 'string':
      return { name, type: binding.TF_ATTR_STRING, value };
    default:
      return 'type' in value
        ? { name, type: binding.TF_ATTR_TYPE, value: value.type }
        : { name, type: binding.TF_ATTR_SHAPE, value };
  }
}
