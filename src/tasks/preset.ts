/** A task as a paper measures it. */
export interface PresetTask {
  /** A task's or a group's. */
  readonly name: string;
  readonly shots: number;
  /** What is told of it. */
  readonly metric: string;
  /** Whether the paper's average counts it. */
  readonly averaged: boolean;
}

/** What He et al., 2024 ("What Matters in Transformers?", LLM-Drop) measure: their tables average all but GSM8K. */
const llmDrop: readonly PresetTask[] = [
  { name: 'arc_challenge', shots: 25, metric: 'acc_norm,none', averaged: true },
  { name: 'boolq', shots: 0, metric: 'acc,none', averaged: true },
  { name: 'hellaswag', shots: 10, metric: 'acc_norm,none', averaged: true },
  { name: 'mmlu', shots: 5, metric: 'acc,none', averaged: true },
  { name: 'openbookqa', shots: 0, metric: 'acc_norm,none', averaged: true },
  { name: 'piqa', shots: 0, metric: 'acc_norm,none', averaged: true },
  { name: 'rte', shots: 0, metric: 'acc,none', averaged: true },
  { name: 'winogrande', shots: 5, metric: 'acc,none', averaged: true },
  { name: 'gsm8k', shots: 5, metric: 'exact_match,strict-match', averaged: false },
];

export const presets = { 'llm-drop': llmDrop } as const;
export type PresetName = keyof typeof presets;
export const presetNames = Object.keys(presets) as PresetName[];
