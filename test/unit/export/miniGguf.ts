import { readFileSync } from 'node:fs';

/** A reader of GGUF written from the format's description alone, to judge the project's own by. */
export interface MiniGguf {
  readonly metadata: Record<string, unknown>;
  /** ggml's numbers of the metadata's types; of an array, its elements'. */
  readonly types: Record<string, number>;
  readonly tensors: Record<string, { readonly ne: number[]; readonly type: number; readonly data: Buffer }>;
}

export function readMiniGguf(path: string): MiniGguf {
  const file = readFileSync(path);
  let at = 0;
  const step = <T>(size: number, value: T): T => {
    at += size;
    return value;
  };
  const u32 = (): number => step(4, file.readUInt32LE(at));
  const u64 = (): number => step(8, Number(file.readBigUInt64LE(at)));
  const text = (): string => {
    const length = u64();
    return step(length, file.toString('utf8', at, at + length));
  };
  if (file.toString('latin1', 0, 4) !== 'GGUF') throw new Error('no GGUF');
  at = 4;
  if (u32() !== 3) throw new Error('not version 3');
  const [tensorCount, valueCount] = [u64(), u64()];
  const metadata: Record<string, unknown> = {};
  const types: Record<string, number> = {};
  const value = (type: number, key: string): unknown => {
    types[key] = type;
    if (type === 4) return u32();
    if (type === 5) return step(4, file.readInt32LE(at));
    if (type === 6) return step(4, file.readFloatLE(at));
    if (type === 7) return step(1, file[at] === 1);
    if (type === 8) return text();
    if (type !== 9) throw new Error(`${key} of type ${type}`);
    const element = u32();
    const list = Array.from({ length: u64() }, () => value(element, key));
    types[key] = element;
    return list;
  };
  for (let i = 0; i < valueCount; i++) {
    const key = text();
    metadata[key] = value(u32(), key);
  }
  const infos = Array.from({ length: tensorCount }, () => ({
    name: text(),
    ne: Array.from({ length: u32() }, u64),
    type: u32(),
    offset: u64(),
  }));
  const start = Math.ceil(at / 32) * 32;
  const blocks: Record<number, [elements: number, bytes: number]> = {
    0: [1, 4],
    1: [1, 2],
    2: [32, 18],
    3: [32, 20],
    8: [32, 34],
    30: [1, 2],
  };
  const tensors: MiniGguf['tensors'] = {};
  for (const { name, ne, type, offset } of infos) {
    if (offset % 32) throw new Error(`${name} is not aligned`);
    const bytes = (ne.reduce((a, b) => a * b, 1) / blocks[type][0]) * blocks[type][1];
    const data = file.subarray(start + offset, start + offset + bytes);
    if (data.length !== bytes) throw new Error(`${name} is cut off`);
    tensors[name] = { ne, type, data };
  }
  return { metadata, types, tensors };
}

export const floatsOf = ({ type, data }: MiniGguf['tensors'][string]): Float32Array => {
  if (type !== 0) throw new Error('not F32');
  return new Float32Array(Uint8Array.from(data).buffer);
};
