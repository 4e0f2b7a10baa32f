import type { Random } from '../random.js';
import { mutateBytes } from './bytes.js';
import { mutateJson } from './json.js';

/** A safetensors file whose header says something else, its own length still right; or other bytes. */
export function mutateSafetensors(random: Random, bytes: Uint8Array): Uint8Array {
  if (random.chance(0.3)) return mutateBytes(random, bytes);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = Buffer.from(mutateJson(random, new TextDecoder().decode(bytes.subarray(8, 8 + length))));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([size, header, bytes.subarray(8 + length)]);
}
