import { int4Methods, type Int4Method } from '../checkpoint/index.js';
import {
  alphaOption,
  compensationModes,
  dropMethod,
  expertCriteria,
  expertMethod,
  expertsNeedText,
  metricNames,
  needsText,
  searches,
  targets,
  type CompensationMode,
  type DropMethod,
  type ExpertMethod,
  type ExpertRequest,
  type MethodRequest,
  type Target,
} from '../drop/index.js';
import { UserError, flag, list, oneOf, refuse, text, whole, type Read } from '../engine/index.js';
import { exportFormats, exportTypes, type ExportFormat, type ExportType } from '../export/index.js';
import type { Drops } from '../models/index.js';
import { dampingOption, quantizeMethods, type GroupOptions, type QuantizeMethod } from '../quant/index.js';
import { rowDefaults } from '../text/index.js';
import { fallback, object, optional } from './fields.js';

export const recipeSchema = 'llm-drop/recipe/1';

/** The text that every stage looks at, and behind those rows the rows that the loss is measured on. */
export interface RecipeText {
  /** .txt, .jsonl, or folders of them; relative ones count from the working directory. */
  readonly files: readonly string[];
  /** Rows to calibrate on, and tokens a row. */
  readonly samples: number;
  readonly length: number;
  /** Whether they are taken evenly from the whole text. */
  readonly spread: boolean;
  /** The text's field in .jsonl files. */
  readonly field: string;
  /** Rows to measure on. */
  readonly heldOut: number;
}

export interface RecipeCompensation {
  readonly mode: CompensationMode;
  readonly alpha: number;
}

/** As the options of `quantize`. */
export interface RecipeQuantization extends Required<Omit<GroupOptions, 'range'>> {
  readonly method: QuantizeMethod;
  readonly format: Int4Method;
  readonly damping: number;
  readonly expertFloor: number;
  readonly head: boolean;
}

export interface RecipeExport {
  readonly to: ExportFormat;
  /** Type of the weights; null leaves them as they are. */
  readonly type: ExportType | null;
  readonly zero: boolean;
}

/** What a recipe was run on: digests (SHA-256, hexadecimal). Another run on anything else is refused. */
export interface RecipeInputs {
  /** `weights` is a digest of names, shapes, types and both ends of each tensor. */
  readonly model: { readonly name: string; readonly configuration: string; readonly weights: string };
  /** A digest of each calibration file's documents. */
  readonly calibration: readonly { readonly file: string; readonly documents: string }[];
}

/** A whole compression, complete: what stages there are (null: not that one), and all that decides their result. */
export interface Recipe {
  readonly schema: typeof recipeSchema;
  readonly calibration: RecipeText | null;
  /** How modules are chosen, or which they are; or how experts are chosen. */
  readonly drop: RecipeDrop | null;
  readonly compensate: RecipeCompensation | null;
  readonly quantize: RecipeQuantization | null;
  readonly export: readonly RecipeExport[];
  /** What the recipe was run on; null before that. */
  readonly inputs: RecipeInputs | null;
  /** What the recipe was run with: llm-drop, node, backend, and the backend's instructions; null before that. */
  readonly versions: Readonly<Record<'llm-drop' | 'node' | 'backend' | 'tier', string>> | null;
}

export type RecipeDrop = DropMethod | ExpertMethod | Drops;

export const isLists = (drop: RecipeDrop): drop is Drops => 'attention' in drop;
export const isExperts = (drop: RecipeDrop | null): drop is ExpertMethod =>
  drop !== null && !isLists(drop) && drop.target === 'expert';

const lists = object<Drops>({
  attention: fallback(list(whole(0)), [] as readonly number[]),
  mlp: fallback(list(whole(0)), [] as readonly number[]),
});

const method = object<{ [K in keyof Required<MethodRequest>]: MethodRequest[K] | null }>({
  // In what it says of another, all targets; that of experts is read apart.
  target: oneOf<Target>([...targets, 'expert' as Target]),
  count: whole(1),
  metric: optional(oneOf(metricNames)),
  search: optional(oneOf(searches)),
  iterations: optional(whole(1)),
  consecutive: optional(flag),
  compat: optional(oneOf(['llm-drop'] as const)),
  seed: optional(whole(0)),
  keep: optional(list(whole(0))),
});

const experts = object<{ [K in keyof Required<ExpertMethod>]: ExpertMethod[K] | null }>({
  target: oneOf(['expert'] as const),
  count: whole(1),
  metric: optional(oneOf(expertCriteria)),
  seed: optional(whole(0)),
});

const drop: Read<RecipeDrop> = (value, key) => {
  if (typeof value === 'object' && value !== null && ('attention' in value || 'mlp' in value)) {
    const named = lists(value, key);
    return named.attention.length + named.mlp.length ? named : refuse(key, 'lists that name a layer', value);
  }
  const ofExperts = (value as { target?: unknown } | null)?.target === 'expert';
  const request = Object.entries(ofExperts ? experts(value, key) : method(value, key)).filter(
    ([, given]) => given !== null,
  );
  const given: unknown = Object.fromEntries(request);
  try {
    return ofExperts ? expertMethod(given as ExpertRequest) : dropMethod(given as MethodRequest);
  } catch (error) {
    // The options that it speaks of are keys of the recipe.
    if (error instanceof UserError)
      throw new UserError(`${key}: ${error.message.replaceAll('`', '')}`, { cause: error });
    throw error;
  }
};

const quantize: Read<RecipeQuantization> = (value, key) => {
  const given = object<Omit<RecipeQuantization, 'symmetric'> & { symmetric: boolean | null }>({
    method: fallback(oneOf(quantizeMethods), 'gptq'),
    format: fallback(oneOf(int4Methods), 'compressed-tensors'),
    groupSize: fallback(oneOf([32, 64, 128, -1] as const), 128),
    symmetric: optional(flag),
    clip: fallback(oneOf(['none', 'search'] as const), 'none'),
    damping: fallback(dampingOption, 0.01),
    expertFloor: fallback(whole(1), 128),
    head: fallback(flag, false),
  })(value, key);
  const symmetric = given.symmetric ?? given.format !== 'awq';
  if (symmetric && given.format === 'awq') refuse(`${key}.symmetric`, 'false for the format awq', symmetric);
  if (given.clip === 'search' && given.method === 'awq')
    refuse(`${key}.clip`, "'none' for awq, which searches its own", given.clip);
  return { ...given, symmetric };
};

const exported: Read<RecipeExport> = (value, key) => {
  const { to, type, zero } = object<RecipeExport>(
    {
      to: oneOf(exportFormats),
      type: optional(oneOf(exportTypes)),
      zero: fallback(flag, false),
    },
    { format: 'to' },
  )(value, key);
  if (type && to === 'llm-drop') refuse(`${key}.type`, 'left out for llm-drop, which keeps the weights', type);
  if (type?.startsWith('q') && to !== 'gguf')
    refuse(`${key}.type`, `one of ${exportTypes.filter((one) => !one.startsWith('q')).join(', ')} for ${to}`, type);
  if (zero && to === 'llm-drop') refuse(`${key}.zero`, 'false for llm-drop, which keeps the weights', zero);
  return { to, type, zero };
};

const digest: Read<string> = (value, key) =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value : refuse(key, '64 hexadecimal digits', value);

const recipe = object<Recipe>({
  schema: fallback(oneOf([recipeSchema] as const), recipeSchema),
  calibration: optional(
    object<RecipeText>({
      files: list(text, 1),
      samples: fallback(whole(1), rowDefaults.samples),
      length: fallback(whole(2), rowDefaults.length),
      spread: fallback(flag, false),
      field: fallback(text, 'text'),
      heldOut: fallback(whole(1), rowDefaults.heldOut),
    }),
  ),
  drop: optional(drop),
  compensate: optional(
    object<RecipeCompensation>({
      mode: fallback(oneOf(compensationModes), 'all'),
      alpha: fallback(alphaOption, 1),
    }),
  ),
  quantize: optional(quantize),
  export: fallback(list(exported), [] as readonly RecipeExport[]),
  inputs: optional(
    object<RecipeInputs>({
      model: object<RecipeInputs['model']>({ name: text, configuration: digest, weights: digest }),
      calibration: list(object<RecipeInputs['calibration'][number]>({ file: text, documents: digest })),
    }),
  ),
  versions: optional(
    object<NonNullable<Recipe['versions']>>({ 'llm-drop': text, node: text, backend: text, tier: text }),
  ),
});

/** Fills in the defaults, and refuses in one sentence what is wrong. `where` is for messages. */
export function parseRecipe(value: unknown, where = 'the recipe'): Recipe {
  const read = recipe(value, `${where}:`);
  const fail = (problem: string, hint?: string): never => {
    throw new UserError(`${where}: ${problem}`, { hint });
  };
  if (!read.drop && !read.compensate && !read.quantize && !read.export.length)
    fail('there is nothing to do', 'give drop, compensate, quantize or export');
  if (read.compensate && !read.drop)
    fail('compensate gives back what drop takes, so it needs drop', 'llm-drop compensate refits a dropped model');
  if (read.compensate && isExperts(read.drop))
    fail('compensate refits what is beside dropped modules, so it does not go with a drop of experts');
  const reader = textReader(read);
  if (reader && !read.calibration) fail(`${reader} looks at a text, so calibration is needed`);
  const names = read.export.map((one) => exportName('model', one));
  const twice = names.findIndex((name, i) => names.indexOf(name) < i);
  if (twice >= 0) fail(`export[${twice}] is the same as export[${names.indexOf(names[twice])}]`);
  const plain = read.export.findIndex(({ to, zero }) => to === 'hf' && !zero);
  if (plain >= 0 && read.drop && !isLists(read.drop) && ['attention', 'mlp'].includes(read.drop.target))
    fail(
      `export[${plain}]: a plain hf checkpoint cannot leave out an ${read.drop.target === 'mlp' ? 'MLP' : 'attention'} alone`,
      'zero: true keeps and zeroes it; vllm and gguf leave it out',
    );
  return read;
}

/** The first stage that cannot do without a text. */
function textReader({ drop, compensate, quantize }: Recipe): string | undefined {
  if (isExperts(drop) ? expertsNeedText(drop) : drop && !isLists(drop) && needsText(drop)) return 'drop';
  if (compensate) return 'compensate';
  return quantize && quantize.method !== 'rtn' ? `quantize by ${quantize.method}` : undefined;
}

/** `hf-zero-bf16` for a folder, `model-q4_0.gguf` for a file. */
export function exportName(model: string, { to, type, zero }: RecipeExport): string {
  const suffix = [...(zero ? ['zero'] : []), ...(type ? [type] : [])].map((word) => `-${word}`).join('');
  return to === 'gguf' ? `${model}${suffix}.gguf` : `${to}${suffix}`;
}

/** A recipe to start from, for a model of so many layers. */
export const exampleRecipe = (files: readonly string[], layers: number): object => ({
  schema: recipeSchema,
  calibration: { files, samples: 32, length: 256, heldOut: 16 },
  drop: { target: 'attention', count: Math.max(1, Math.round(layers / 6)) },
  compensate: { mode: 'all' },
  quantize: { method: 'gptq', groupSize: 128 },
  export: [{ to: 'gguf' }],
});
