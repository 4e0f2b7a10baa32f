import type { FileHandle } from 'node:fs/promises';
import { UserError } from '../engine/index.js';
import { writeFileAtomically } from './output/writeFile.js';
import { safetensorsBytes } from './safetensorsHeader.js';
import { tensorBytes, type TensorToWrite } from './tensorToWrite.js';

export interface WriteOptions {
  /** The header's `__metadata__`; transformers wants a `format`. */
  metadata?: Readonly<Record<string, string>>;
  /** Called after each tensor. */
  onProgress?: (done: { tensor: string; bytesDone: number; bytesTotal: number }) => void;
}

/**
 * Writes a .safetensors file, one piece in memory at a time. The data lies in the given order, except that tensors of
 * wider elements come first, which keeps all of them aligned. The file appears under its name when it is complete;
 * on failure nothing is left. Disk and permission errors are UserErrors. Returns the size of the file in bytes.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  o: WriteOptions = {},
): Promise<number> {
  const { metadata = { format: 'pt' }, onProgress } = o;
  const ordered = [...tensors].sort((a, b) => safetensorsBytes[b.dtype] - safetensorsBytes[a.dtype]);
  const header = encodeHeader(path, ordered, metadata);
  const bytesTotal = ordered.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  await writeFileAtomically(path, async (handle) => {
    await writeFully(handle, header);
    let bytesDone = 0;
    for (const tensor of ordered) {
      await writeTensor(handle, tensor);
      bytesDone += tensorBytes(tensor);
      onProgress?.({ tensor: tensor.name, bytesDone, bytesTotal });
    }
  });
  return header.byteLength + bytesTotal;
}

function encodeHeader(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries = new Map<string, unknown>(Object.keys(metadata).length ? [['__metadata__', metadata]] : []);
  let begin = 0;
  for (const tensor of tensors) {
    if (tensor.name === '__metadata__' || entries.has(tensor.name))
      throw new UserError(`cannot write ${path}: the name ${tensor.name} is used twice`);
    const end = begin + tensorBytes(tensor);
    entries.set(tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, end] });
    begin = end;
  }
  const fields = [...entries].map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const length = Math.ceil(json.byteLength / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}

async function writeTensor(handle: FileHandle, tensor: TensorToWrite): Promise<void> {
  const expected = tensorBytes(tensor);
  let written = 0;
  for await (const piece of tensor.read()) {
    written += piece.byteLength;
    if (written > expected) break;
    await writeFully(handle, piece);
  }
  if (written !== expected)
    throw new Error(
      `tensor ${tensor.name}: ${tensor.dtype} [${tensor.shape.join(',')}] takes ${expected} bytes, but ${written > expected ? 'more' : written} were given`,
    );
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength;)
    done += (await handle.write(bytes, done, Math.min(bytes.byteLength - done, 1 << 30))).bytesWritten;
}
