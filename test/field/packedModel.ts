/** Weights in 4 bits, as the formats' own libraries lay them out: apart from what the project itself packs with. */
import { decodeFloats, encodeFloats } from '../../src/engine/index.js';
import { copyOf, f32, floatsOf, type FolderModel, type Stored } from './randomModel.js';

/** Integers and zero points of [out, in], and scales that float16 holds; groups of 32. */
interface Rounded {
  readonly out: number;
  readonly width: number;
  readonly q: readonly number[][];
  readonly scales: readonly number[][];
  readonly zeros: readonly number[][];
}

const group = 32;

const half = (value: number): number =>
  decodeFloats(encodeFloats(Float32Array.of(value), 'float16'), 'float16')[0] || 2 ** -14;

function rounded({ shape: [out, width], ...stored }: Stored, symmetric: boolean, size: number): Rounded {
  const values = floatsOf({ shape: [out, width], ...stored });
  const rows = Array.from({ length: out }, (_, o) => [...values.subarray(o * width, (o + 1) * width)]);
  const groups = rows.map((row) => Array.from({ length: width / size }, (_, g) => row.slice(g * size, (g + 1) * size)));
  const scales = groups.map((row) =>
    row.map((part) => {
      const [low, high] = [Math.min(...part), Math.max(...part)];
      return half(symmetric ? Math.max(-low, high) / 7 : (high - low) / 15);
    }),
  );
  const clamp = (value: number): number => Math.min(15, Math.max(0, Math.round(value)));
  const zeros = groups.map((row, o) =>
    row.map((part, g) => (symmetric ? 8 : clamp(-Math.min(...part) / scales[o][g]))),
  );
  const q = rows.map((row, o) =>
    row.map((value, i) => clamp(value / scales[o][Math.floor(i / size)] + zeros[o][Math.floor(i / size)])),
  );
  return { out, width, q, scales, zeros };
}

const word = (values: readonly number[]): number => values.reduce((sum, value, i) => sum + value * 16 ** i, 0);
const words = (shape: readonly number[], values: readonly number[]): Stored => ({
  dtype: 'I32',
  shape,
  bytes: new Uint8Array(Uint32Array.from(values).buffer),
});
const halves = (shape: readonly number[], values: readonly number[]): Stored => ({
  dtype: 'F16',
  shape,
  bytes: encodeFloats(Float32Array.from(values), 'float16'),
});
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const awqOrder = [0, 2, 4, 6, 1, 3, 5, 7];

/** Parts of a projection's name by the tensors that hold it. */
function packed(method: Method, { out, width, q, scales, zeros }: Rounded, size: number): Record<string, Stored> {
  const groups = width / size;
  const across = range(out / 8).map((o) => 8 * o);
  const turned = halves(
    [groups, out],
    range(groups).flatMap((g) => range(out).map((o) => scales[o][g])),
  );
  switch (method) {
    case 'gptq':
      return {
        qweight: words(
          [width / 8, out],
          range(width / 8).flatMap((i) => range(out).map((o) => word(q[o].slice(8 * i, 8 * i + 8)))),
        ),
        qzeros: words(
          [groups, out / 8],
          // Stored less one.
          range(groups).flatMap((g) => across.map((o) => word(range(8).map((j) => (zeros[o + j][g] + 15) % 16)))),
        ),
        scales: turned,
        g_idx: words(
          [width],
          range(width).map((i) => Math.floor(i / size)),
        ),
      };
    case 'awq':
      return {
        qweight: words(
          [width, out / 8],
          range(width).flatMap((i) => across.map((o) => word(awqOrder.map((j) => q[o + j][i])))),
        ),
        qzeros: words(
          [groups, out / 8],
          range(groups).flatMap((g) => across.map((o) => word(awqOrder.map((j) => zeros[o + j][g])))),
        ),
        scales: turned,
      };
    case 'compressed-tensors':
      return {
        weight_packed: words(
          [out, width / 8],
          q.flatMap((row) => range(width / 8).map((i) => word(row.slice(8 * i, 8 * i + 8)))),
        ),
        weight_scale: halves([out, groups], scales.flat()),
        weight_shape: {
          dtype: 'I64',
          shape: [2],
          bytes: new Uint8Array(new BigInt64Array([BigInt(out), BigInt(width)]).buffer),
        },
      };
  }
}

export type Method = 'gptq' | 'awq' | 'compressed-tensors';

const configs: Readonly<Record<Method, Record<string, unknown>>> = {
  gptq: { quant_method: 'gptq', checkpoint_format: 'gptq', bits: 4, group_size: group, desc_act: false, sym: true },
  awq: { quant_method: 'awq', bits: 4, group_size: group, zero_point: true, version: 'gemm' },
  'compressed-tensors': {
    quant_method: 'compressed-tensors',
    format: 'pack-quantized',
    config_groups: {
      group_0: {
        targets: ['Linear'],
        weights: { num_bits: 4, type: 'int', symmetric: true, strategy: 'group', group_size: group },
      },
    },
  },
};

export interface PackedModel {
  readonly model: FolderModel;
  /** The same weights in float32. */
  readonly floats: FolderModel;
}

/** Its projections in 4 bits, in groups of 32 or as `sizes` says; those that `kept` names stay as they are. */
export function packedModel(
  source: FolderModel,
  method: Method,
  o: { kept?: (module: string) => boolean; size?: (module: string) => number } = {},
): PackedModel {
  const [model, floats] = [copyOf(source), copyOf(source)];
  for (const [name, stored] of source.tensors) {
    const module = name.replace(/\.weight$/, '');
    if (!/(proj|experts\.\d+\.w\d)$/.test(module) || o.kept?.(module)) continue;
    const size = o.size?.(module) ?? group;
    const { out, width, q, scales, zeros } = rounded(stored, method !== 'awq', size);
    model.tensors.delete(name);
    const parts = packed(method, { out, width, q, scales, zeros }, size);
    for (const [part, tensor] of Object.entries(parts)) model.tensors.set(`${module}.${part}`, tensor);
    const values = q.flatMap((row, r) =>
      row.map((value, i) => (value - zeros[r][Math.floor(i / size)]) * scales[r][Math.floor(i / size)]),
    );
    floats.tensors.set(name, f32([out, width], values));
  }
  model.config.quantization_config = structuredClone(configs[method]);
  return { model, floats };
}

/** The `quantization_config` of a packed model, to be changed. */
export const quantizationOf = ({ config }: FolderModel): Record<string, unknown> =>
  config.quantization_config as Record<string, unknown>;

/** Every word of zero points of a GPTQ model. */
export function setZeros(model: FolderModel, wordOfZeros: number): void {
  for (const [name, stored] of model.tensors)
    if (name.endsWith('.qzeros'))
      model.tensors.set(
        name,
        words(
          stored.shape,
          range(stored.bytes.length / 4).map(() => wordOfZeros),
        ),
      );
}
