import { decodeFloats, encodeFinite, type WeightSource } from '../engine/index.js';

/** How weights that no integers stand for are held: in bfloat16, or as they are stored. */
export type FloatHead = 'bf16' | 'float';

export const storedFloats = (source: WeightSource, stored: FloatHead): WeightSource =>
  stored === 'bf16' && source.dtype !== 'bfloat16' ? asBfloat16(source) : source;

/** A source's values rounded to bfloat16. */
export const asBfloat16 = (source: WeightSource): WeightSource => ({
  name: source.name,
  shape: source.shape,
  dtype: 'bfloat16',
  readRows: async (start, end) =>
    encodeFinite(decodeFloats(await source.readRows(start, end), source.dtype), 'bfloat16', source.name),
});
