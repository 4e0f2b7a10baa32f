// ONNX models written by hand: the few protobuf fields that a single operator needs (onnx.proto).

function varint(value) {
  const bytes = [];
  for (let n = BigInt(value); ; n >>= 7n) {
    if (n < 128n) return Buffer.from([...bytes, Number(n)]);
    bytes.push(Number(n & 127n) | 128);
  }
}

const int = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);

const bytes = (field, value) => {
  const content = Buffer.isBuffer(value) ? value : Buffer.from(value);
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content]);
};

const types = { float: 1, uint8: 2 };

/** A TensorProto. */
export const initializer = (name, type, shape, { buffer, byteOffset, byteLength }) =>
  Buffer.concat([
    ...shape.map((size) => int(1, size)),
    int(2, types[type]),
    bytes(8, name),
    bytes(9, Buffer.from(buffer, byteOffset, byteLength)),
  ]);

/** An AttributeProto of a whole number. */
export const attribute = (name, value) => Buffer.concat([bytes(1, name), int(3, value), int(20, 2)]);

/** A NodeProto. */
export const node = (operator, inputs, outputs, domain = '', attributes = []) =>
  Buffer.concat([
    ...inputs.map((name) => bytes(1, name)),
    ...outputs.map((name) => bytes(2, name)),
    bytes(4, operator),
    ...attributes.map((content) => bytes(5, content)),
    bytes(7, domain),
  ]);

/** A ValueInfoProto of a float tensor. */
function value(name, shape) {
  const sizes = shape.map((size) => bytes(1, int(1, size)));
  return Buffer.concat([
    bytes(1, name),
    bytes(2, bytes(1, Buffer.concat([int(1, types.float), bytes(2, Buffer.concat(sizes))]))),
  ]);
}

/** A ModelProto around one graph. */
export function graph(inputs, outputs, initializers, nodes) {
  const content = Buffer.concat([
    ...nodes.map((one) => bytes(1, one)),
    bytes(2, 'bench'),
    ...initializers.map((one) => bytes(5, one)),
    ...Object.entries(inputs).map(([name, shape]) => bytes(11, value(name, shape))),
    ...Object.entries(outputs).map(([name, shape]) => bytes(12, value(name, shape))),
  ]);
  const operators = [Buffer.concat([bytes(1, ''), int(2, 18)]), Buffer.concat([bytes(1, 'com.microsoft'), int(2, 1)])];
  return Buffer.concat([int(1, 9), bytes(7, content), ...operators.map((one) => bytes(8, one))]);
}
