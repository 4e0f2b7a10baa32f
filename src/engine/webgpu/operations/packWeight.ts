import { NotFiniteError, UserError } from '../../errors.js';
import { firstNotFinite } from '../../finite.js';
import { readInt4Rows } from '../../int4.js';
import { readInt8Rows } from '../../int8.js';
import type { Packable } from '../../packable.js';
import { sizeOf } from '../../tensor.js';
import { formOf, rowLayout, type RowLayout } from '../layouts/weightRows.js';
import type { Machine } from '../runtime/machine.js';
import { WeightStorage, type WeightPart } from './matrices.js';

/** Bytes of rows that are laid out at a time. */
const chunkBytes = 2 ** 24;

/** Reads a weight, lays out its rows, and writes them to as many buffers as bindings of `mostBytes` make of it. */
export async function packWeight(machine: Machine, source: Packable, mostBytes: number): Promise<WeightStorage> {
  const form = formOf(source);
  const [width, rows] = [source.shape.at(-1)!, sizeOf(source.shape.slice(0, -1))];
  const layout = rowLayout(form, width);
  const rowBytes = 4 * layout.words;
  if (rowBytes > mostBytes)
    throw new UserError(
      `${source.name}: a row of ${rowBytes} bytes does not fit this adapter, whose buffers end at ${mostBytes}`,
    );
  const perPart = Math.max(1, Math.floor(mostBytes / Math.max(1, rowBytes)));
  const parts: WeightPart[] = [];
  try {
    for (let first = 0; first < rows; first += perPart) {
      const count = Math.min(perPart, rows - first);
      const part = { block: await created(machine, source.name, count * rowBytes), first, count };
      parts.push(part);
      await fill(machine, source, layout, part);
    }
  } catch (error) {
    for (const { block } of parts) block.free();
    throw error;
  }
  return new WeightStorage(form, width, parts);
}

/** A buffer, or a sentence where the device has no room for it. */
async function created(machine: Machine, name: string, bytes: number): Promise<WeightPart['block']> {
  const { gpu } = machine.device;
  gpu.pushErrorScope('out-of-memory');
  const block = machine.memory.create(bytes);
  const error = await gpu.popErrorScope();
  if (!error) return block;
  block.free();
  throw new UserError(`the device has no room for the ${bytes} bytes of ${name}`, {
    hint: 'fewer weights, or weights in int4, take less',
  });
}

async function fill(machine: Machine, source: Packable, layout: RowLayout, part: WeightPart): Promise<void> {
  const rowBytes = 4 * layout.words;
  const step = Math.max(1, Math.floor(chunkBytes / rowBytes));
  for (let at = 0; at < part.count; at += step) {
    const count = Math.min(step, part.count - at);
    const words = await rowsOf(source, part.first + at, count, layout);
    machine.write(part.block, words, at * rowBytes);
  }
}

/** Rows as they lie on the device. */
async function rowsOf(source: Packable, first: number, count: number, layout: RowLayout): Promise<Uint8Array> {
  const rowBytes = 4 * layout.words;
  const rows = new Uint8Array(count * rowBytes);
  /** Places each row's share of `bytes` at `offset` of the row. */
  const place = (bytes: Uint8Array, offset: number): void => {
    const own = bytes.length / count;
    for (let row = 0; row < count; row++) rows.set(bytes.subarray(row * own, (row + 1) * own), row * rowBytes + offset);
  };
  if (source.dtype === 'int4') {
    const { quants, scales, zeros, minima } = await readInt4Rows(source, first, first + count);
    place(quants, 0);
    const seconds = minima ?? zeros;
    // A group's scale and what goes with it: two halves of a word.
    place(
      bytesOf(seconds ? Uint32Array.from(scales, (scale, i) => scale | (seconds[i] << 16)) : scales),
      4 * layout.scalesAt,
    );
  } else if (source.dtype === 'int8') {
    const { quants, scales } = await readInt8Rows(source, first, first + count);
    place(bytesOf(quants), 0);
    place(bytesOf(scales), 4 * layout.scalesAt);
  } else {
    const bytes = await source.readRows(first, first + count);
    if (firstNotFinite(bytes, source.dtype) >= 0)
      throw new NotFiniteError(`tensor ${source.name} holds what is not finite`, { tensor: source.name });
    place(bytes, 0);
  }
  return rows;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
