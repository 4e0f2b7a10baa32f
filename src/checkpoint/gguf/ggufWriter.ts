import type { FileHandle } from 'node:fs/promises';
import {
  UserError,
  allFinite,
  decodeFloats,
  encodeFinite,
  readInt4Rows,
  readInt8Rows,
  sizeOf,
  type Int4Source,
  type Int8Source,
  type WeightSource,
} from '../../engine/index.js';
import { decodeGgml } from './decodeBlocks.js';
import { encodeGgml, type WrittenType } from './encodeBlocks.js';
import { floatType, ggmlBytes, ggmlTypes } from './ggmlTypes.js';
import { ByteWriter, aligned, alignment, magic, version, type GgufMetadata } from './ggufFormat.js';
import { encodeInt4, takesInt4 } from './int4Blocks.js';
import { encodeInt8, takesInt8 } from './int8Blocks.js';
import { rowsOf, widthOf } from '../rowViews.js';

/** A tensor to write. `source` is [out, in]: GGUF lists the sizes the other way round, the data is the same. */
export interface GgufTensor {
  readonly name: string;
  readonly type: WrittenType;
  readonly source: WeightSource;
  /** The same weight as integers, if it is stored so: blocks of as many bits take them over unchanged. */
  readonly integers?: Int4Source | Int8Source;
}

const pieceElements = 1 << 20;

export const tensorBytes = ({ type, source }: GgufTensor): number => ggmlBytes(type, sizeOf(source.shape));

/** A tensor's bytes, encoded about a million elements at a time. */
export async function* encodedPieces({
  type,
  source,
  integers,
}: GgufTensor): AsyncGenerator<{ row: number; end: number; bytes: Uint8Array }> {
  const encode = async (row: number, end: number): Promise<Uint8Array> => {
    if (integers?.dtype === 'int4' && takesInt4(type, integers))
      return encodeInt4(await readInt4Rows(integers, row, end), widthOf(source), integers.format, type);
    if (integers?.dtype === 'int8' && takesInt8(type, integers))
      return encodeInt8(await readInt8Rows(integers, row, end));
    const bytes = await source.readRows(row, end);
    return floatType(type) === source.dtype ? bytes : encoded(decodeFloats(bytes, source.dtype), type, source.name);
  };
  const rows = rowsOf(source);
  const step = Math.max(1, Math.floor(pieceElements / widthOf(source)));
  for (let row = 0; row < rows; row += step) {
    const end = Math.min(row + step, rows);
    yield { row, end, bytes: await encode(row, end) };
  }
}

/** Blocks whose scales are float16, which ends at 65504: UserError where that is not enough. */
function encoded(values: Float32Array, type: WrittenType, tensor: string): Uint8Array {
  const dtype = floatType(type);
  if (dtype) return encodeFinite(values, dtype, tensor);
  const blocks = encodeGgml(values, type);
  const most = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (most > 65504 && !allFinite(decodeGgml(blocks, type)))
    throw new UserError(`tensor ${tensor} reaches ${most}, more than the float16 scales of ${type} hold`, {
      hint: 'a type of floats that reach further: bf16, f32',
    });
  return blocks;
}

/** Writes a GGUF file of version 3, one piece in memory at a time. Returns its size in bytes. */
export async function writeGguf(
  file: FileHandle,
  metadata: GgufMetadata,
  tensors: readonly GgufTensor[],
  onProgress?: (bytesDone: number, bytesTotal: number) => void,
): Promise<number> {
  checkLayers(metadata);
  checkTensors(tensors);
  const head = encodeHead(metadata, tensors);
  const total = tensors.reduce((sum, tensor) => sum + aligned(tensorBytes(tensor)), head.byteLength);
  let done = 0;
  const put = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.byteLength;) at += (await file.write(bytes, at)).bytesWritten;
    done += bytes.byteLength;
    onProgress?.(done, total);
  };
  await put(head);
  for (const tensor of tensors) {
    for await (const { bytes } of encodedPieces(tensor)) await put(bytes);
    await put(new Uint8Array(aligned(done) - done));
  }
  if (done !== total) throw new Error(`the GGUF file has ${done} bytes, but ${total} were to be written`);
  return done;
}

function encodeHead(metadata: GgufMetadata, tensors: readonly GgufTensor[]): Uint8Array {
  const out = new ByteWriter();
  out.u32(magic);
  out.u32(version);
  out.u64(tensors.length);
  out.u64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    out.string(key);
    out.value(value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    const { name, type, source } = tensor;
    out.string(name);
    out.u32(source.shape.length);
    for (const size of source.shape.toReversed()) out.u64(size);
    out.u32(ggmlTypes[type].id);
    out.u64(offset);
    offset += aligned(tensorBytes(tensor));
  }
  return out.bytes(alignment);
}

/**
 * Refuses what llama.cpp reads wrongly or crashes on (docs/formats.md, 'GGUF dropped modules'), whoever made the
 * metadata.
 */
function checkLayers(metadata: GgufMetadata): void {
  const named = metadata['general.architecture'];
  const architecture = named?.type === 'string' ? named.value : '';
  const counts = (key: string): number[] => {
    const found = metadata[`${architecture}.${key}`];
    if (!found) return [];
    return found.type === 'i32[]' ? Array.from(found.value) : [Number(found.value)];
  };
  const noMlp = counts('feed_forward_length').findIndex((length) => length < 1);
  if (noMlp >= 0)
    throw new UserError(`layer ${noMlp} has a feed_forward_length of 0`, {
      hint: 'llama.cpp drops the attention of such a layer with its MLP, or crashes: write an MLP of 32 zeros instead',
    });
  const [first] = counts('attention.head_count');
  if (first !== undefined && first < 1)
    throw new UserError('layer 0 has a head_count of 0', {
      hint: 'llama.cpp takes the head size from layer 0 and crashes: keep its head count, and zero attn_output',
    });
  const layers = counts('block_count')[0];
  for (const key of ['feed_forward_length', 'attention.head_count', 'attention.head_count_kv'])
    if (metadata[`${architecture}.${key}`]?.type === 'i32[]' && counts(key).length !== layers)
      throw new UserError(`${key} lists ${counts(key).length} layers, but block_count is ${layers}`);
}

function checkTensors(tensors: readonly GgufTensor[]): void {
  const names = new Set<string>();
  for (const { name, type, source } of tensors) {
    if (names.has(name)) throw new UserError(`the tensor name ${name} is used twice`);
    names.add(name);
    const { block } = ggmlTypes[type];
    if (widthOf(source) % block)
      throw new UserError(
        `tensor ${name} has rows of ${widthOf(source)}, which ${type} cannot store: they are no multiple of ${block}`,
      );
  }
}
