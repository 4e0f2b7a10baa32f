/** LoRA adapters as PEFT lays them, and the models with them merged, computed in float64. */
import { copyOf, f32, floatsOf, type FolderModel, type Stored } from './randomModel.js';

/** Numbers between -0.5 and 0.5, the same for the same seed. */
export function numbers(count: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length: count }, () => (state = (state * 1103515245 + 12345) % 2 ** 31) / 2 ** 31 - 0.5);
}

export interface Rule {
  readonly rank?: number;
  readonly scale: number;
  /** Of DoRA. */
  readonly magnitude?: boolean;
}

export interface Adapter {
  config: Record<string, unknown>;
  tensors: Map<string, Stored>;
}

const plain = {
  peft_type: 'LORA',
  task_type: 'CAUSAL_LM',
  base_model_name_or_path: 'org/base',
  r: 4,
  lora_alpha: 8,
  lora_dropout: 0.05,
  bias: 'none',
  target_modules: ['q_proj', 'up_proj'],
  modules_to_save: null,
  fan_in_fan_out: false,
  init_lora_weights: true,
  inference_mode: true,
  peft_version: '0.18.0',
};

/** An adapter of some modules, and the model with it merged: W + scale B A, rows brought to their magnitudes. */
export function adapted(
  base: FolderModel,
  rules: Readonly<Record<string, Rule>>,
  config: Record<string, unknown> = {},
): { adapter: Adapter; merged: FolderModel } {
  const merged = copyOf(base);
  const tensors = new Map<string, Stored>();
  Object.entries(rules).forEach(([module, { rank = 4, scale, magnitude = false }], seed) => {
    const {
      shape: [out, width],
      ...stored
    } = base.tensors.get(`${module}.weight`)!;
    const w = floatsOf({ shape: [out, width], ...stored });
    const [a, b] = [numbers(rank * width, seed + 1), numbers(out * rank, seed + 100)].map((list) =>
      list.map(Math.fround),
    );
    const m = numbers(out, seed + 200).map((x) => Math.fround(1 + x));
    tensors.set(`base_model.model.${module}.lora_A.weight`, f32([rank, width], a));
    tensors.set(`base_model.model.${module}.lora_B.weight`, f32([out, rank], b));
    if (magnitude) tensors.set(`base_model.model.${module}.lora_magnitude_vector`, f32([out], m));
    const values = Array.from(w, (value, i) => {
      const [row, column] = [Math.floor(i / width), i % width];
      return value + scale * numbersTo(rank).reduce((sum, r) => sum + b[row * rank + r] * a[r * width + column], 0);
    });
    const factors = numbersTo(out).map((row) =>
      magnitude ? m[row] / Math.hypot(...values.slice(row * width, (row + 1) * width)) : 1,
    );
    merged.tensors.set(
      `${module}.weight`,
      f32(
        [out, width],
        values.map((value, i) => value * factors[Math.floor(i / width)]),
      ),
    );
  });
  return { adapter: { config: { ...plain, ...config }, tensors }, merged };
}

const numbersTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
