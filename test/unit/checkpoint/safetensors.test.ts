import * as fc from 'fast-check';
import { closeSync, openSync, readFileSync, readdirSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import {
  SafetensorsFile,
  safetensorsBytes,
  tensorBytes,
  tensorOfBytes,
  tensorOfSource,
  writeSafetensors,
  type SafetensorsDType,
  type TensorToWrite,
} from '../../../src/checkpoint/index.js';
import { UserError, arraySource, bytesPerElement, decodeFloats } from '../../../src/engine/index.js';
import { temporaryFolder } from './places.js';

const folder = temporaryFolder();
let files = 0;
const newPath = (): string => join(folder, `${files++}.safetensors`);

async function bytesIn(tensor: TensorToWrite): Promise<Buffer> {
  const pieces = [];
  for await (const piece of tensor.read()) pieces.push(Uint8Array.from(piece));
  return Buffer.concat(pieces);
}

/** A file with a header as given (an object or a text), and so many bytes of data. */
function fileOf(header: unknown, dataBytes: number, lie = 0): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length + lie));
  const path = newPath();
  writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
  return path;
}

const anyTensor = fc
  .record({
    name: fc.oneof(
      fc.string({ minLength: 1 }),
      fc.constantFrom('model.norm.weight', '__proto__', 'constructor', 'ü.🎉', '"quoted"', '1'),
    ),
    dtype: fc.constantFrom(...(Object.keys(safetensorsBytes) as SafetensorsDType[])),
    shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
    seed: fc.integer({ min: 0, max: 255 }),
  })
  .map(({ name, dtype, shape, seed }) =>
    tensorOfBytes(
      name,
      dtype,
      shape,
      Uint8Array.from({ length: tensorBytes({ dtype, shape }) }, (_, i) => (i * 31 + seed) & 255),
    ),
  );

const anyTensors = fc.uniqueArray(anyTensor, { selector: (tensor) => tensor.name, maxLength: 8 });

describe('a safetensors file', () => {
  it('gives back what was written, whatever the names, dtypes and shapes', async () => {
    await fc.assert(
      fc.asyncProperty(
        anyTensors,
        fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
        async (tensors, metadata) => {
          const path = newPath();
          const size = await writeSafetensors(path, tensors, { metadata });
          expect(readFileSync(path).byteLength).toBe(size);
          await using file = await SafetensorsFile.open(path);
          expect(file.metadata).toEqual(metadata);
          expect(new Set(file.tensorNames())).toEqual(new Set(tensors.map(({ name }) => name)));
          for (const tensor of tensors) {
            expect(file.info(tensor.name)).toEqual({
              dtype: tensor.dtype,
              shape: tensor.shape,
              bytes: tensorBytes(tensor),
            });
            expect(await bytesIn(file.raw(tensor.name))).toEqual(await bytesIn(tensor));
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it('is read by rows, in every weight dtype', async () => {
    const values = Float32Array.from({ length: 24 }, (_, i) => i - 12);
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const path = newPath();
      await writeSafetensors(path, [
        tensorOfSource(arraySource(values, [2, 3, 4], { dtype }), 'w'),
        tensorOfSource(arraySource(values.subarray(0, 5), [5], { dtype }), 'norm'),
      ]);
      await using file = await SafetensorsFile.open(path);
      const source = file.source('w');
      expect([source.dtype, source.shape]).toEqual([dtype, [2, 3, 4]]);
      expect([...decodeFloats(await source.readRows(1, 4), dtype)]).toEqual([...values.subarray(4, 16)]);
      expect([...decodeFloats(await source.readRows(5, 6), dtype)]).toEqual([...values.subarray(20)]);
      expect([...decodeFloats(await file.source('norm').readRows(0, 1), dtype)]).toEqual([...values.subarray(0, 5)]);
      await expect(source.readRows(5, 7)).rejects.toThrow('rows [5, 7) do not lie within its 6 rows');
      const into = new Uint8Array(new SharedArrayBuffer(100));
      await source.readInto!(1, 4, into);
      expect(into.subarray(0, 12 * bytesPerElement[dtype])).toEqual(await source.readRows(1, 4));
      expect(into.subarray(12 * bytesPerElement[dtype]).every((byte) => byte === 0)).toBe(true);
      await expect(source.readInto!(5, 7, into)).rejects.toThrow('rows [5, 7) do not lie within its 6 rows');
      // Another view of the rows has another way to read them.
      expect(Object.keys(source)).not.toContain('readInto');
    }
  });

  it('is aligned: data of wider elements comes first, and the header ends at a multiple of 8', async () => {
    const path = newPath();
    await writeSafetensors(path, [
      tensorOfBytes('a', 'U8', [3], new Uint8Array(3)),
      tensorOfBytes('b', 'F32', [1], new Uint8Array(4)),
      tensorOfBytes('c', 'I64', [1], new Uint8Array(8)),
    ]);
    const file = await SafetensorsFile.open(path);
    expect(file.tensorNames()).toEqual(['c', 'b', 'a']);
    expect(readFileSync(path).readBigUInt64LE() % 8n).toBe(0n);
  });

  it('of 15 GB is opened by reading its header only', async () => {
    const shape = [3_750, 1_000_000];
    const path = fileOf({ w: { dtype: 'F32', shape, data_offsets: [0, 15e9] } }, 0);
    const header = readFileSync(path).byteLength;
    truncateSync(path, header + 15e9);
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.from(Float32Array.of(42).buffer), 0, 4, header + 3_749 * 4e6);
    closeSync(file);
    await using opened = await SafetensorsFile.open(path);
    expect(opened.info('w')).toEqual({ dtype: 'F32', shape, bytes: 15e9 });
    expect(opened.bytesRead).toBeLessThan(1e6);
    expect(decodeFloats(await opened.source('w').readRows(3_749, 3_750), 'float32')[0]).toBe(42);
    expect(opened.bytesRead).toBe(header + 4e6);
  });

  const f32 = (shape: unknown, begin: unknown, end: unknown): object => ({
    dtype: 'F32',
    shape,
    data_offsets: [begin, end],
  });
  it.each<[what: string, path: () => string, message: string]>([
    ['is missing', () => join(folder, 'none.safetensors'), 'does not exist'],
    ['is a folder', () => folder, 'it is a folder, not a file'],
    ['is empty', () => writeEmpty(), 'is truncated: a safetensors file begins with 8 length bytes, found 0 bytes'],
    ['ends in its header', () => fileOf({}, 0, 5), 'the header claims 7 bytes, but the file has 2 behind its length'],
    ['claims a huge header', () => fileOf({}, 0, 2 ** 52), 'but the file has 2 behind its length'],
    ['is not JSON', () => fileOf('{"w":', 0), 'the header is not valid JSON'],
    ['has an array for a header', () => fileOf([], 0), 'the header must be a JSON object, found []'],
    [
      'has metadata of numbers',
      () => fileOf({ __metadata__: { n: 1 } }, 0),
      '__metadata__ must be an object of strings',
    ],
    [
      'has an unknown dtype',
      () => fileOf({ w: { dtype: 'F3', shape: [1], data_offsets: [0, 4] } }, 4),
      'tensor w: expected a dtype of BOOL',
    ],
    [
      'has a dtype of every object',
      () => fileOf({ w: { dtype: 'toString', shape: [1], data_offsets: [0, 4] } }, 4),
      'found "toString"',
    ],
    [
      'has a negative size',
      () => fileOf({ w: f32([-1], 0, 4) }, 4),
      'tensor w: expected a shape of whole numbers, found [-1]',
    ],
    [
      'has no offsets',
      () => fileOf({ w: { dtype: 'F32', shape: [1] } }, 4),
      'tensor w: expected data_offsets of two whole numbers, begin and end, found nothing',
    ],
    ['has backward offsets', () => fileOf({ w: f32([1], 4, 0) }, 4), 'found [4,0]'],
    [
      'ends in its data',
      () => fileOf({ w: f32([2], 0, 8) }, 4),
      "tensor w: data_offsets must lie within the file's 4 bytes of data (is the file truncated?), found [0,8]",
    ],
    [
      'has a size that is not the shape',
      () => fileOf({ w: f32([3], 0, 8) }, 8),
      'tensor w: F32 [3] takes 12 bytes, expected data_offsets of that length, found [0,8]',
    ],
    [
      'has a shape beyond all numbers',
      () => fileOf({ w: f32([2 ** 40, 2 ** 40], 0, 8) }, 8),
      'tensor w: F32 [1099511627776,1099511627776] takes',
    ],
    [
      'has overlapping tensors',
      () => fileOf({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12),
      'tensor b overlaps a: expected it to begin at byte 8 of the data, found 4',
    ],
    ['has a gap', () => fileOf({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12), 'tensor b leaves a gap behind a'],
    [
      'has data behind the last tensor',
      () => fileOf({ a: f32([1], 0, 4) }, 9),
      'the tensors take 4 bytes of data, but the file holds 9',
    ],
  ])('that %s is refused in one sentence', async (_, path, message) => {
    const error = await SafetensorsFile.open(path()).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).not.toContain('\n');
  });

  function writeEmpty(): string {
    const path = newPath();
    writeFileSync(path, '');
    return path;
  }

  it('with random damage is read within its bounds or refused, never crashes', async () => {
    const path = newPath();
    const tensors = [
      tensorOfBytes('a', 'F32', [2, 3], new Uint8Array(24)),
      tensorOfBytes('b', 'BF16', [4], new Uint8Array(8)),
      tensorOfBytes('c', 'I64', [], new Uint8Array(8)),
    ];
    await writeSafetensors(path, tensors);
    const good = readFileSync(path);
    const damaged = newPath();
    const edit = fc.tuple(
      fc.nat(good.length - 1),
      fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('0123456789[]{}",:-e'))),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { maxLength: 4 }), fc.option(fc.nat(good.length)), async (edits, cut) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of edits) bytes[at] = value;
        writeFileSync(damaged, cut === null ? bytes : bytes.subarray(0, cut));
        try {
          await using file = await SafetensorsFile.open(damaged);
          for (const name of file.tensorNames())
            expect((await bytesIn(file.raw(name))).byteLength).toBe(file.info(name).bytes);
        } catch (error) {
          if (!(error instanceof UserError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('names the tensor that is absent or no weight', async () => {
    const path = newPath();
    await writeSafetensors(path, [tensorOfBytes('ids', 'I32', [1], new Uint8Array(4))]);
    const file = await SafetensorsFile.open(path);
    expect(() => file.source('ids')).toThrow(`${path}: tensor ids is I32, but a weight must be F32, F16 or BF16`);
    expect(() => file.info('other')).toThrow(`${path} has no tensor other`);
  });

  it('that shrinks while it is read is reported', async () => {
    const path = newPath();
    await writeSafetensors(path, [tensorOfBytes('w', 'F32', [8], new Uint8Array(32))]);
    await using file = await SafetensorsFile.open(path);
    truncateSync(path, readFileSync(path).byteLength - 4);
    await expect(file.source('w').readRows(0, 1)).rejects.toThrow('did it change while it was read?');
  });
});

describe('writing a safetensors file', () => {
  const one = tensorOfBytes('w', 'F32', [1], new Uint8Array(4));

  it('reports progress in bytes', async () => {
    const progress: unknown[] = [];
    await writeSafetensors(newPath(), [one, { ...one, name: 'v' }], { onProgress: (done) => progress.push(done) });
    expect(progress).toEqual([
      { tensor: 'w', bytesDone: 4, bytesTotal: 8 },
      { tensor: 'v', bytesDone: 8, bytesTotal: 8 },
    ]);
  });

  it('leaves the old file and nothing else when it fails', async () => {
    const own = temporaryFolder();
    const path = join(own, 'model.safetensors');
    writeFileSync(path, 'old');
    const broken = { ...one, name: 'x', read: (): Uint8Array[] => [new Uint8Array(3)] };
    await expect(writeSafetensors(path, [one, broken])).rejects.toThrow(
      'tensor x: F32 [1] takes 4 bytes, but 3 were given',
    );
    await expect(writeSafetensors(path, [{ ...one, read: () => [new Uint8Array(5)] }])).rejects.toThrow(
      'takes 4 bytes, but more were given',
    );
    await expect(writeSafetensors(path, [one, one])).rejects.toThrow('the name w is used twice');
    expect(readdirSync(own)).toEqual(['model.safetensors']);
    expect(readFileSync(path, 'utf8')).toBe('old');
  });

  it('says so when the disk is full or the folder is missing', async () => {
    const own = temporaryFolder();
    const path = join(own, 'model.safetensors');
    const handle = await open(join(own, 'probe'), 'w');
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
      code: 'ENOSPC',
      syscall: 'write',
    });
    const write = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, 'write').mockRejectedValue(full);
    try {
      const error = await writeSafetensors(path, [one]).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(UserError);
      expect((error as Error).message).toBe(
        `cannot write ${path}: the disk is full (free some space or choose another place)`,
      );
    } finally {
      write.mockRestore();
      await handle.close();
    }
    expect(readdirSync(own)).toEqual(['probe']);
    await expect(writeSafetensors(join(own, 'no', 'model.safetensors'), [one])).rejects.toThrow('it does not exist');
  });
});
