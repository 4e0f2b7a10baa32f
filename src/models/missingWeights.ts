import { weightDTypes, type ModelSource } from '../checkpoint/index.js';
import { UserError, shownValue } from '../engine/index.js';
import { allWeights, modulesOf, type ModelDescription, type ModuleDescription } from './description.js';
import { isLinear, moduleWord, ownNames, tensorNames, type WeightSpec } from './weights.js';

/** A cause, in words that go on from `tensor X is missing`. */
interface Cause {
  readonly why: string;
  readonly hint?: string;
}

/** The error about weights that a model's file lacks, with the likely cause: what of it is there under another name, or elsewhere. */
export function missingWeights(
  source: ModelSource,
  description: ModelDescription,
  missing: readonly WeightSpec[],
): UserError {
  const lacking = missing.map((weight) => {
    const names = ownNames(weight);
    return names.find((name) => !source.has(name)) ?? names[0];
  });
  const causes = [otherNames, packed, headAlone, fewerLayers, fewerExperts, otherFiles, wholeModules, incomplete];
  const { why, hint } = firstOf(causes, { source, description, missing, lacking })!;
  const more = missing.length > 1 ? `, and ${missing.length - 1} more` : '';
  return new UserError(`${source.folder}: tensor ${lacking[0]} is missing${more}${why}`, { hint });
}

interface Question {
  readonly source: ModelSource;
  readonly description: ModelDescription;
  readonly missing: readonly WeightSpec[];
  /** A tensor of each missing weight that is not there. */
  readonly lacking: readonly string[];
}

function firstOf(causes: readonly ((q: Question) => Cause | undefined)[], question: Question): Cause | undefined {
  for (const cause of causes) {
    const found = cause(question);
    if (found) return found;
  }
  return undefined;
}

/** The same names behind, or around, parts that a compiled, distributed or adapted module leaves. */
function otherNames(question: Question): Cause | undefined {
  return wrapped(question) ?? prefixed(question);
}

/** Parts of names that PyTorch's wrappers and adapters leave. */
const wrappers = /\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module|base_layer)\./g;

function wrapped({ source, lacking }: Question): Cause | undefined {
  const bare = new Map(source.tensorNames().map((name) => [name.replace(wrappers, ''), name]));
  const found = lacking.filter((name) => bare.has(name));
  if (2 * found.length < lacking.length) return undefined;
  const held = bare.get(found[0])!;
  return renamed(held, found[0], `have \`${held.match(wrappers)![0]}\` within`);
}

function prefixed({ source, lacking }: Question): Cause | undefined {
  const wanted = new Map(lacking.flatMap((name) => endsOf(name).map((end) => [end, name] as const)));
  for (const held of source.tensorNames()) {
    const end = endsOf(held).find((part) => wanted.has(part));
    if (end === undefined) continue;
    const name = wanted.get(end)!;
    const [theirs, ours] = [held, name].map((text) => text.slice(0, text.length - end.length));
    const found = lacking.filter((n) => n.startsWith(ours) && source.has(`${theirs}${n.slice(ours.length)}`));
    if (theirs === ours || 2 * found.length < lacking.length) continue;
    const instead = ours ? ` in place of \`${ours}\`` : '';
    return renamed(held, name, theirs ? `have the prefix \`${theirs}\`${instead}` : `lack the prefix \`${ours}\``);
  }
  return undefined;
}

const renamed = (held: string, name: string, how: string): Cause => ({
  why: `: names in the file ${how}, such as ${held}`,
  hint: `rename it to ${name}, and the others likewise, or save the model itself, not what wraps it`,
});

/** Ends of a name that say enough to know it again: those with its layer, or all of it. */
function endsOf(name: string): string[] {
  const parts = name.split('.');
  const layer = parts.findIndex((part) => /^\d+$/.test(part));
  const last = layer < 0 ? Math.max(0, parts.length - 3) : layer - 1;
  return parts.slice(0, last + 1).map((_, i) => parts.slice(i).join('.'));
}

/** Tensors of integers in the place of the one that is missing, which no config names, or another. */
function packed({ source, lacking }: Question): Cause | undefined {
  const modules = new Set(lacking.map(moduleOf));
  const inPlace = source.tensorNames().filter((name) => modules.has(moduleOf(name)));
  const first = inPlace.find((name) => !(source.info(name).dtype in weightDTypes));
  if (first === undefined) return undefined;
  const parts = inPlace.filter((name) => moduleOf(name) === moduleOf(first));
  const said = source.quantization
    ? `but not as ${source.quantization.method} has it, which the config names`
    : 'but the config does not say how';
  return { why: `: in its place are ${parts.slice(0, 3).join(', ')}, which look packed, ${said}` };
}

const moduleOf = (tensor: string): string => tensor.replace(/[^.]*$/, '');

/** Only the head is missing, and the config does not say that it is the embedding. */
function headAlone({ missing, source }: Question): Cause | undefined {
  if (missing.length > 1 || missing[0].role !== 'head') return undefined;
  const said = source.config.tie_word_embeddings;
  return {
    why: `: tie_word_embeddings of config.json is ${said === undefined ? 'absent' : shownValue(said)}, so the head is no copy of the embedding`,
    hint: 'set it to true if the model was trained so; a base model has no head',
  };
}

/** All layers behind some one are missing. */
function fewerLayers({ description: { layers }, missing }: Question): Cause | undefined {
  const gone = new Set(missing);
  const isGone = layers.map((layer) => modulesOf(layer).every(([, module]) => lacksAll(module, gone)));
  const held = isGone.lastIndexOf(false) + 1;
  if (held === 0 || held === layers.length || missing.some(({ layer = -1 }) => layer < held)) return undefined;
  return {
    why: `: num_hidden_layers of config.json is ${layers.length}, but the file holds ${held}`,
    hint: 'is the download complete, and the config of this model?',
  };
}

/** All experts behind some one are missing. */
function fewerExperts({ source, missing }: Question): Cause | undefined {
  const [stack] = missing.filter(({ use }) => use === 'experts');
  if (!stack) return undefined;
  const isThere = tensorNames(stack).map((name) => source.has(name));
  const held = isThere.indexOf(false);
  if (held < 1 || isThere.includes(true, held)) return undefined;
  return { why: `: config.json says ${isThere.length} experts, but the file holds ${held}` };
}

const lacksAll = ({ weights }: ModuleDescription, gone: ReadonlySet<WeightSpec>): boolean =>
  weights.filter(isLinear).every((weight) => gone.has(weight));

/** Shards of the folder that no index lists. */
function otherFiles({ source }: Question): Cause | undefined {
  const shards = source.unread.filter((name) => /-of-\d+\.safetensors$/.test(name));
  if (!shards.length) return undefined;
  const others = shards.length > 1 ? `, or one of ${shards.length - 1} others,` : ',';
  return { why: `: it may be in ${shards[0]}${others} which the index does not list` };
}

/** Whole modules are missing, and nothing else: as where they were dropped. */
function wholeModules({ description, missing }: Question): Cause | undefined {
  const gone = new Set(missing);
  const all = description.layers.flatMap(modulesOf);
  const modules = all.filter(([, module]) => lacksAll(module, gone));
  const within = new Set(modules.flatMap(([, { weights }]) => weights));
  if (!modules.length || modules.length === all.length || !missing.every((weight) => within.has(weight)))
    return undefined;
  const [[kind, { weights }], ...others] = modules;
  const more = others.length ? `, nor are ${others.length} other modules` : '';
  return {
    why: `: the ${moduleWord[kind]} of layer ${weights[0].layer} is not there${more}`,
    hint: 'a dropped module must be named in drop_attn_list or drop_mlp_list of config.json',
  };
}

function incomplete({ source, description }: Question): Cause {
  const names = source.tensorNames();
  const isKnown = allWeights(description).some((weight) => ownNames(weight).some((name) => source.has(name)));
  return {
    why: '',
    hint: isKnown
      ? 'is the download complete, and the config of this model?'
      : `the file has ${names.length} tensors, such as ${names.slice(0, 2).join(' and ') || 'none'}`,
  };
}
