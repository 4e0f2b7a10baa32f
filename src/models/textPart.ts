import { SourceView, derived, type JsonObject, type ModelSource } from '../checkpoint/index.js';
import { UserError, shownValue } from '../engine/index.js';
import { tensorWords } from './checkWeights.js';
import { describeModel, familyWithin } from './families/index.js';

/** Keys of a multimodal config that hold of its text model, too. */
const shared =
  /^(bos_token_id|eos_token_id|pad_token_id|dtype|torch_dtype|tie_word_embeddings|transformers_version|quantization_config|drop_attn_list|drop_mlp_list)$/;

/**
 * A checkpoint that takes images, too, as that of the text model in it: its `text_config`, and its tensors under the names
 * that they have in a model of text alone. Any other source is returned as it is.
 */
export function textPart(given: ModelSource): { readonly source: ModelSource; readonly notes: readonly string[] } {
  const { config: whole } = given;
  const family = familyWithin(whole.model_type);
  if (!family) return { source: given, notes: [] };
  const where = given.configPath;
  const text = whole.text_config;
  if (typeof text !== 'object' || text === null || Array.isArray(text))
    throw new UserError(`${where}: text_config must be an object, found ${shownValue(text)}`);
  const common = Object.fromEntries(Object.entries(whole).filter(([key]) => shared.test(key)));
  const config: JsonObject = { model_type: family.types[0], ...(text as JsonObject), ...common };
  const { architecture } = describeModel(config, where).conventions;
  const prefixes = Object.entries(family.within!.prefixes);
  const names = new Map<string, string>();
  const others: string[] = [];
  for (const name of given.tensorNames()) {
    const found = prefixes.find(([theirs]) => name.startsWith(theirs));
    if (found) names.set(found[1] + name.slice(found[0].length), name);
    else others.push(name);
  }
  return {
    source: new SourceView(given, {
      names,
      without: new Set(others),
      config: derived({ architectures: [architecture], ...config }, whole),
    }),
    notes: [`of a ${String(whole.model_type)} model the text part alone is taken, without ${tensorWords(others, 2)}`],
  };
}
