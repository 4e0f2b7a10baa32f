// ggml's Q4_0, which is llm-drop's int4 in groups of 32 without zero points: w = scale * (q - 8).
import { toHalf } from './halfFloat.mjs';

/**
 * `values` [rows, width] to quants [rows, width], 0 to 15, and scales [rows, width / group] as float16 bits. The value of
 * largest magnitude in a group becomes -8 (`quantize_row_q4_0_ref` of ggml).
 */
export function quantize(values, group) {
  const quants = new Uint8Array(values.length);
  const scales = new Uint16Array(values.length / group);
  for (let g = 0; g < scales.length; g++) {
    const start = g * group;
    let most = 0;
    for (let i = start; i < start + group; i++) if (Math.abs(values[i]) > Math.abs(most)) most = values[i];
    const scale = most / -8;
    scales[g] = toHalf(scale);
    const inverse = scale === 0 ? 0 : 1 / scale;
    for (let i = start; i < start + group; i++)
      quants[i] = Math.min(15, Math.max(0, Math.floor(values[i] * inverse + 8.5)));
  }
  return { quants, scales };
}

/** Blocks of 18 bytes: a float16 scale, then 16 bytes whose low halves are the first 16 quants. */
export function q4_0(values) {
  const { quants, scales } = quantize(values, 32);
  const bytes = Buffer.alloc(18 * scales.length);
  for (let b = 0; b < scales.length; b++) {
    bytes.writeUInt16LE(scales[b], 18 * b);
    for (let i = 0; i < 16; i++) bytes[18 * b + 2 + i] = quants[32 * b + i] | (quants[32 * b + 16 + i] << 4);
  }
  return bytes;
}
