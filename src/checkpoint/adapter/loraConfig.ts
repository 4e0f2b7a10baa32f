import { UserError, shownValue } from '../../engine/index.js';
import { isJsonObject, type JsonObject } from '../jsonFile.js';

/** How the factors of an adapter are merged (docs/formats.md, 'LoRA adapters'). */
export interface LoraConfig {
  /** The rank that a module's factors have. */
  rank(module: string): number;
  /** What the product of the factors is multiplied by. */
  scale(module: string): number;
  /** Whether rows are then brought to magnitudes of their own. */
  readonly dora: boolean;
}

/** Keys that are read, or that change nothing of what a trained adapter computes. */
const known = new Set([
  ...['peft_type', 'r', 'lora_alpha', 'rank_pattern', 'alpha_pattern', 'use_rslora', 'use_dora', 'init_lora_weights'],
  // What was adapted: the tensors tell.
  ...['target_modules', 'exclude_modules', 'layers_to_transform', 'layers_pattern', 'modules_to_save', 'bias'],
  // Where it came from, and how it was trained.
  ...['base_model_name_or_path', 'revision', 'task_type', 'inference_mode', 'auto_mapping', 'peft_version'],
  ...['lora_dropout', 'eva_config', 'megatron_config', 'megatron_core', 'runtime_config', 'ensure_weight_tying'],
  ...['lora_ga_config', 'qalora_group_size'],
]);

/** Ways of initializing that leave the model's own weights as they are. */
const plainBeginnings: readonly unknown[] = [undefined, null, true, false, 'gaussian', 'eva', 'orthogonal'];

/** Reads `adapter_config.json`. UserError for an adapter that is merged otherwise than is known here. */
export function parseLoraConfig(raw: JsonObject, where: string): LoraConfig {
  const refuse = (what: string, hint?: string): never => {
    throw new UserError(`${where}: adapters of ${what} are not merged`, {
      hint: hint ?? 'merge it with PEFT (merge_and_unload), and give the model that comes out',
    });
  };
  if (raw.peft_type !== 'LORA') refuse(`peft_type ${shownValue(raw.peft_type)}`);
  if (!plainBeginnings.includes(raw.init_lora_weights))
    refuse(`init_lora_weights ${shownValue(raw.init_lora_weights)}, which change the model's own weights,`);
  const other = Object.keys(raw).find((key) => !known.has(key) && !isEmpty(raw[key]));
  if (other !== undefined) refuse(`${other} ${shownValue(raw[other])}`);
  const number = (value: unknown, key: string, fallback: number): number => {
    if (value === undefined) return fallback;
    return typeof value === 'number' && value > 0 && Number.isFinite(value)
      ? value
      : refuse(`${key} ${shownValue(value)}`, 'it must be a number above 0');
  };
  const patterns = (key: 'rank_pattern' | 'alpha_pattern', usual: number): ((module: string) => number) => {
    const given = Object.entries(isJsonObject(raw[key]) ? raw[key] : {});
    const rules = given.map(([pattern, value]) => [ending(pattern, where, key), number(value, key, usual)] as const);
    return (module) => rules.find(([matches]) => matches(module))?.[1] ?? usual;
  };
  const rank = patterns('rank_pattern', number(raw.r, 'r', 8));
  const alpha = patterns('alpha_pattern', number(raw.lora_alpha, 'lora_alpha', 8));
  const divisor = raw.use_rslora === true ? Math.sqrt : (r: number): number => r;
  return { rank, scale: (module) => alpha(module) / divisor(rank(module)), dora: raw.use_dora === true };
}

const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  (typeof value === 'object' && Object.keys(value).length === 0);

/**
 * Whether a module's name ends in what a pattern says, as PEFT matches it: whole parts of the name, by a regular
 * expression. One that is more than names and dots is refused, since Python's differ from ours.
 */
function ending(pattern: string, where: string, key: string): (module: string) => boolean {
  const plain = pattern.replace(/^\^/, '').replace(/\$$/, '').replaceAll('\\.', '.');
  if (!/^[\w.]+$/.test(plain))
    throw new UserError(`${where}: the pattern ${shownValue(pattern)} of ${key} is not read`, {
      hint: 'names of modules are, such as model.layers.0.self_attn.q_proj or q_proj',
    });
  return (module) => module === plain || (!pattern.startsWith('^') && module.endsWith(`.${plain}`));
}
