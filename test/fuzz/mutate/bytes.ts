import type { Random } from '../random.js';
import { oddNumbers } from './odd.js';

type Change = (random: Random, bytes: Buffer) => Buffer;

/** Most of what decides lies near the beginning, or the end. */
const somewhere = (random: Random, length: number): number =>
  random.pick([random.below(length), random.below(Math.min(length, 64)), Math.max(0, length - 1 - random.below(64))]);

const changes: readonly Change[] = [
  // Bits.
  (random, bytes) => {
    for (let count = random.pick([1, 1, 8]); count > 0; count--)
      bytes[somewhere(random, bytes.length)] ^= 1 << random.below(8);
    return bytes;
  },
  (random, bytes) => {
    bytes[somewhere(random, bytes.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff]);
    return bytes;
  },
  // Lengths and counts: little-endian integers of 2, 4 or 8 bytes.
  (random, bytes) => {
    const [size, at] = [random.pick([2, 4, 8]), somewhere(random, bytes.length)];
    if (at + size > bytes.length) return bytes;
    const odd = random.pick(oddNumbers.filter(Number.isInteger));
    const value = random.chance(0.3) ? bytes[at] + random.pick([-1, 1, 8]) : odd;
    const eight = Buffer.alloc(8);
    eight.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
    eight.copy(bytes, at, 0, size);
    return bytes;
  },
  // Values: floats of 4 or 2 bytes that are none, or not finite, or large.
  (random, bytes) => {
    const at = 4 * random.below(Math.floor(bytes.length / 4));
    if (random.chance(0.5)) bytes.writeFloatLE(random.pick([NaN, Infinity, -Infinity, 3e38, 1e-45, -0]), at);
    else bytes.writeUInt16LE(random.pick([0x7e00, 0x7c00, 0xfc00, 0x7f80, 0x7fc0, 0x7bff]), at);
    return bytes;
  },
  // Cut off, or longer.
  (random, bytes) => bytes.subarray(0, somewhere(random, bytes.length)),
  (random, bytes) => Buffer.concat([bytes, Buffer.alloc(random.pick([1, 8, 4096]), random.below(256))]),
  // A part gone, twice, or other bytes.
  (random, bytes) => {
    const [at, length] = [somewhere(random, bytes.length), 1 + random.below(16)];
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
  },
  (random, bytes) => {
    const [at, length] = [somewhere(random, bytes.length), 1 + random.below(64)];
    return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
  },
  (random, bytes) => {
    const [at, length] = [somewhere(random, bytes.length), 1 + random.below(16)];
    for (let i = at; i < Math.min(at + length, bytes.length); i++) bytes[i] = random.below(256);
    return bytes;
  },
];

export function mutateBytes(random: Random, original: Uint8Array): Uint8Array {
  let bytes: Buffer = Buffer.from(original);
  for (let count = random.pick([1, 1, 1, 2, 4]); count > 0 && bytes.length >= 8; count--)
    bytes = random.pick(changes)(random, bytes);
  return bytes;
}
