import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, tensorOfBytes, writeWeights, type SafetensorsDType } from '../../../src/checkpoint/index.js';
import { float8e4m3, float8e5m2, int8 } from '../../../src/checkpoint/scaled/float8.js';
import { decodeFloats } from '../../../src/engine/index.js';
import { temporaryFolder } from './places.js';

interface Stored {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly data: string;
}

/** Made by test/oracle/make_scaled_goldens.py. */
const { cases } = JSON.parse(readFileSync(new URL('../../fixtures/scaled/goldens.json', import.meta.url), 'utf8')) as {
  cases: { name: string; config: object; tensors: Record<string, Stored>; floats: Stored }[];
};

const root = temporaryFolder();
const bytesOf = ({ data }: Stored): Uint8Array => new Uint8Array(Buffer.from(data, 'hex'));

async function written(quantization: object, tensors: Record<string, Stored>, config: object): Promise<string> {
  const folder = mkdtempSync(join(root, 'scaled-'));
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, quantization_config: quantization }));
  const all = Object.entries(tensors).map(([part, stored]) =>
    tensorOfBytes(`x.${part}`, stored.dtype, stored.shape, bytesOf(stored)),
  );
  await writeWeights(folder, all);
  return folder;
}

describe('a weight of 8 bits with scales', () => {
  it.each(cases)('is what its own program decodes: $name', async ({ config, tensors, floats }) => {
    await using checkpoint = await openCheckpoint(await written(config, tensors, { torch_dtype: 'bfloat16' }));
    const { shape } = floats;
    expect(checkpoint.tensorNames()).toEqual(['x.weight']);
    const bytes = Object.values(tensors).reduce((sum, { data }) => sum + data.length / 2, 0);
    expect(checkpoint.info('x.weight')).toEqual({ dtype: tensors.weight.dtype, shape, bytes });
    expect(checkpoint.quantization).toBeUndefined();
    const source = checkpoint.source('x.weight');
    const whole = Buffer.from(await source.readRows(0, shape[0]));
    expect(whole.toString('hex')).toBe(floats.data);
    // Rows alone are the same as with others.
    const rows = Buffer.from(await source.readRows(3, 5));
    expect(rows.equals(whole.subarray(3 * 2 * shape[1], 5 * 2 * shape[1]))).toBe(true);
    const stored: Uint8Array[] = [];
    for (const tensor of checkpoint.stored('x.weight'))
      for await (const piece of tensor.read()) stored.push(piece.slice());
    expect(Buffer.concat(stored).equals(whole)).toBe(true);
  });

  it('is of the type that the model computes in', async () => {
    const [{ config, tensors, floats }] = cases;
    await using checkpoint = await openCheckpoint(await written(config, tensors, { dtype: 'float32' }));
    const source = checkpoint.source('x.weight');
    expect(source.dtype).toBe('float32');
    const exact = decodeFloats((await source.readRows(0, 8)).slice(), 'float32');
    // The product of a float8 and a scale of 24 bits, and the same rounded to 8 bits.
    const rounded = decodeFloats(bytesOf(floats), 'bfloat16');
    exact.forEach((value, i) => expect(Math.abs(value - rounded[i])).toBeLessThanOrEqual(2 ** -8 * Math.abs(value)));
    expect(exact.some((value, i) => value !== rounded[i])).toBe(true);
  });

  it('that is no number is refused as it is read', async () => {
    const [, { config, tensors }] = cases;
    const data = `7f${tensors.weight.data.slice(2)}`;
    const folder = await written(config, { ...tensors, weight: { ...tensors.weight, data } }, {});
    await using checkpoint = await openCheckpoint(folder);
    await expect(checkpoint.source('x.weight').readRows(0, 1)).rejects.toThrow('tensor x.weight holds NaN');
  });

  const [, row] = cases;
  const scale = (dtype: SafetensorsDType, shape: number[], bytes: number): Stored => ({
    dtype,
    shape,
    data: '00'.repeat(bytes),
  });
  it.each<[string, Record<string, Stored>, object, string]>([
    [
      'without scales',
      { weight: row.tensors.weight },
      row.config,
      'its scales are missing: x.weight_scale or x.weight_scale_inv',
    ],
    [
      'with scales of another shape',
      { ...row.tensors, weight_scale: scale('BF16', [2, 3], 12) },
      row.config,
      'x.weight_scale is [2,3], which are no scales of x.weight [6,20]',
    ],
    [
      'with scales of other blocks than the config says',
      { weight: row.tensors.weight, weight_scale_inv: scale('F32', [2, 3], 24) },
      { quant_method: 'fp8', weight_block_size: [128, 128] },
      'in blocks of 128 x 128, as quantization_config of',
    ],
    [
      'with exponents for scales',
      { ...row.tensors, weight_scale: scale('F8_E8M0', [6, 1], 6) },
      row.config,
      'x.weight_scale is F8_E8M0, expected scales of F32, F16 or BF16',
    ],
    [
      'with scales twice',
      { ...row.tensors, weight_scale_inv: scale('F32', [6, 1], 24) },
      row.config,
      'has two tensors of scales: x.weight_scale_inv, x.weight_scale',
    ],
    [
      'with zero points of another shape',
      { ...row.tensors, weight_zero_point: scale('I8', [6], 6) },
      row.config,
      'x.weight_zero_point is I8 [6] beside a weight of F8_E4M3',
    ],
    [
      'of a stack of experts',
      { weight: { ...row.tensors.weight, shape: [2, 3, 20] }, weight_scale: scale('F32', [2, 3, 1], 24) },
      row.config,
      'of weights in 8 bits, only matrices are read',
    ],
    [
      'that is also sparse',
      row.tensors,
      { ...row.config, sparsity_config: { format: 'sparse-24-bitmask' } },
      'the sparsity format "sparse-24-bitmask"',
    ],
    [
      'of two floats of 4 bits a byte',
      cases[4].tensors,
      { quant_method: 'fp8' },
      'weights of fp8 in bytes of integers are not read',
    ],
    [
      'of modelopt in another way',
      row.tensors,
      { quant_method: 'modelopt', quant_algo: 'NVFP4' },
      'quant_algo "NVFP4"',
    ],
    [
      'of bitsandbytes',
      { weight: cases[4].tensors.weight, SCB: scale('F32', [6], 24) },
      { quant_method: 'bitsandbytes', load_in_8bit: true },
      'weights of quant_method "bitsandbytes" (in 8 bits) are not read',
    ],
    [
      'of bitsandbytes in 4 bits',
      { weight: { ...scale('I8', [60, 1], 60), dtype: 'U8' } },
      { quant_method: 'bitsandbytes', load_in_4bit: true, bnb_4bit_quant_type: 'nf4' },
      'weights of quant_method "bitsandbytes" (in 4 bits, "nf4") are not read',
    ],
  ])('is refused by name %s', async (_, tensors, config, says) => {
    const opening = written(config, tensors, {}).then(openCheckpoint);
    await expect(opening).rejects.toThrow(says);
  });
});

describe('floats of 8 bits', () => {
  it('have the values of their formats', () => {
    expect([...float8e4m3.subarray(0, 9)].map((value) => value * 512)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect([float8e4m3[0x38], float8e4m3[0xb8], float8e4m3[0x7e], float8e4m3[0x7f]]).toEqual([1, -1, 448, NaN]);
    expect([float8e5m2[0x3c], float8e5m2[0x01], float8e5m2[0x7b], float8e5m2[0x7c]]).toEqual([
      1,
      2 ** -16,
      57344,
      Infinity,
    ]);
    expect([int8[0], int8[127], int8[128], int8[255]]).toEqual([0, 127, -128, -1]);
  });
});
