/** Weights in 8 bits, apart from what the project itself reads them with. */
import { copyOf, f32, floatsOf, type FolderModel, type Stored } from './randomModel.js';

/** Projections as int8 times a scale for each row, and the same model in floats. */
export function scaledModel(base: FolderModel): { model: FolderModel; floats: FolderModel } {
  const [model, floats] = [copyOf(base), copyOf(base)];
  for (const [name, stored] of base.tensors) {
    if (!name.endsWith('_proj.weight')) continue;
    const [out, width] = stored.shape;
    const values = floatsOf(stored);
    const rows = Array.from({ length: out }, (_, row) => values.subarray(row * width, (row + 1) * width));
    const scales = rows.map((row) => Math.fround(Math.max(...row.map(Math.abs)) / 127));
    const q = rows.flatMap((row, i) => [...row].map((value) => Math.round(value / scales[i])));
    const bytes: Stored = { dtype: 'I8', shape: [out, width], bytes: Uint8Array.from(q, (value) => value & 255) };
    model.tensors.set(name, bytes);
    model.tensors.set(`${name}_scale`, f32([out, 1], scales));
    model.tensors.set(name.replace(/weight$/, 'input_scale'), f32([1], [1]));
    floats.tensors.set(
      name,
      f32(
        [out, width],
        q.map((value, i) => value * scales[Math.floor(i / width)]),
      ),
    );
  }
  model.config.quantization_config = {
    quant_method: 'compressed-tensors',
    format: 'int-quantized',
    config_groups: { group_0: { targets: ['Linear'], weights: { num_bits: 8, type: 'int', strategy: 'channel' } } },
    ignore: ['lm_head'],
  };
  model.config.torch_dtype = 'float32';
  return { model, floats };
}
