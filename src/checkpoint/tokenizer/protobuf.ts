/** One field of a message of Protocol Buffers: its number, and its value as it is encoded. */
export interface ProtobufField {
  readonly number: number;
  /** Of a varint, as a signed number; of four bytes, as a float. */
  readonly value: number;
  /** Of what has a length: strings and messages. */
  readonly bytes: Uint8Array;
}

const none = new Uint8Array();

/** The fields of a message in order. RangeError where the bytes are no such message. */
export function* protobufFields(message: Uint8Array): Generator<ProtobufField> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = view.getUint8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a number has more than ten bytes');
  };
  const take = (length: number): Uint8Array => {
    if (length > message.length - at) throw new RangeError('a field is longer than what holds it');
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = Number(varint());
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        yield { number, value: Number(BigInt.asIntN(64, varint())), bytes: none };
        break;
      case 1:
        take(8);
        break;
      case 2:
        yield { number, value: 0, bytes: take(Number(varint())) };
        break;
      case 5:
        take(4);
        yield { number, value: view.getFloat32(at - 4, true), bytes: none };
        break;
      default:
        throw new RangeError(`a field is of type ${tag % 8}`);
    }
  }
}
