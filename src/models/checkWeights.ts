import { ggmlTypes, weightDTypes, type ModelSource } from '../checkpoint/index.js';
import { UserError, type Shape } from '../engine/index.js';
import { allWeights, type ModelDescription } from './description.js';
import { recordedDrops } from './drops.js';
import { missingWeights } from './missingWeights.js';
import { isDropped } from './size.js';
import { fusedNames, tensorNames, type WeightSpec } from './weights.js';

/** A file's tensors held against a description, by their headers. */
interface WeightReport {
  /** Weights of modules that are not dropped, of which the file lacks some tensor. */
  readonly missing: readonly WeightSpec[];
  /** What is wrong with tensors that are there: a sentence each. */
  readonly wrong: readonly string[];
  /** Tensors that hold no weight of the model. */
  readonly extra: readonly string[];
}

/**
 * Holds a model's tensors against its description, names, shapes and types, and reads nothing but headers. UserError with
 * the likely cause where a weight is missing or another than described; what is there beside is returned.
 */
export function checkWeights(source: ModelSource, description: ModelDescription): string[] {
  const { missing, wrong, extra } = compareWeights(source, description);
  if (missing.length) throw missingWeights(source, description, missing);
  if (wrong.length)
    throw new UserError(`${source.folder}: ${wrong[0]}${others(wrong.length - 1)}`, { hint: assumedSizes(source) });
  return [...extra];
}

const sizes = ['vocab_size', 'hidden_size', 'intermediate_size', 'num_attention_heads', 'num_key_value_heads'];

/** The sizes that the config leaves to its model type. */
function assumedSizes({ config }: ModelSource): string | undefined {
  const absent = sizes.filter((key) => !Object.hasOwn(config, key));
  return absent.length ? `${absent.join(', ')} absent from it: the model type's default` : undefined;
}

const others = (count: number): string => (count > 0 ? ` (and ${count} more such tensors)` : '');

function compareWeights(source: ModelSource, description: ModelDescription): WeightReport {
  const drops = recordedDrops(description.config);
  const weights = allWeights(description);
  const fusedRows = rowsOfFused(weights);
  const has = (name: string): boolean => source.has(name);
  const known = new Set<string>();
  const missing: WeightSpec[] = [];
  const wrong = new Set<string>();
  for (const weight of weights) {
    const own = tensorNames(weight);
    const fused = fusedNames(weight).find(has);
    // As a weight is found: its own tensors first, of which one is there with all of a stack.
    const there = has(own[0]) || fused === undefined ? own.filter(has) : [fused];
    for (const name of there) known.add(name);
    const isWhole = there.length === (there[0] === fused ? 1 : own.length);
    if (!isWhole && !isDropped(drops, weight)) missing.push(weight);
    for (const name of there) {
      const shape = name === fused ? fusedShape(weight, fusedRows.get(name)!) : ownShape(weight);
      const problem = problemOf(source, name, shape);
      if (problem) wrong.add(problem);
    }
  }
  return { missing, wrong: [...wrong], extra: source.tensorNames().filter((name) => !known.has(name)) };
}

const ownShape = ({ use, shape }: WeightSpec): Shape => (use === 'experts' ? shape.slice(1) : shape);

/** Of a tensor that holds several weights, one above the other; of a stack of experts those of each. */
const fusedShape = ({ use, shape }: WeightSpec, rows: number): Shape =>
  use === 'experts' ? [shape[0], rows, ...shape.slice(2)] : [rows, ...shape.slice(1)];

/** The rows of each fused tensor, by what the weights take of it. */
function rowsOfFused(weights: readonly WeightSpec[]): Map<string, number> {
  const rows = new Map<string, number>();
  for (const weight of weights)
    for (const [form, name] of fusedNames(weight).entries())
      rows.set(name, Math.max(rows.get(name) ?? 0, weight.forms[form].to));
  return rows;
}

function problemOf(source: ModelSource, name: string, wanted: Shape): string | undefined {
  const { dtype, shape } = source.info(name);
  if (shape.join() !== wanted.join())
    return `tensor ${name} is [${shape.join(',')}], but config.json says [${wanted.join(',')}]`;
  if (source.int4(name) || dtype in weightDTypes || dtype in ggmlTypes) return undefined;
  return `tensor ${name} is ${dtype}, but a weight must be F32, F16 or BF16, or packed in 4 bits as the config says`;
}

/** Tensors in a few words: `5 model.layers.*.self_attn.rotary_emb.inv_freq, lm_head.bias`. */
export function tensorWords(tensors: readonly string[], most = 3): string {
  const counts = new Map<string, string[]>();
  for (const name of tensors) {
    const pattern = name.replace(/\.\d+(?=\.|$)/g, '.*');
    counts.set(pattern, [...(counts.get(pattern) ?? []), name]);
  }
  const words = [...counts].map(([pattern, names]) => (names.length === 1 ? names[0] : `${names.length} ${pattern}`));
  const rest = words.length - most;
  return `${words.slice(0, most).join(', ')}${rest > 0 ? ` and ${rest} other kinds` : ''}`;
}
