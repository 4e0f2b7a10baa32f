import { SourceView, type ModelSource } from '../checkpoint/index.js';
import { canonicalSource } from './canonicalSource.js';
import { checkWeights, tensorWords } from './checkWeights.js';
import type { ModelConfig } from './config.js';
import type { ModelDescription } from './description.js';
import { describeModel } from './families/index.js';
import { heldBy } from './held.js';
import { openSource, type OpenOptions } from './openSource.js';
import { textPart } from './textPart.js';

/** A model that is open and not loaded: where it comes from, and what it is. A `LoadedModel` is one, too. */
export interface OpenedModel {
  /** Its tensors by the names of the description, and no others. */
  readonly source: ModelSource;
  readonly description: ModelDescription;
  /** Of the description. */
  readonly config: ModelConfig;
  /** What was odd about the files, and how it was taken: a sentence each, to be shown once. */
  readonly notes: readonly string[];
}

/**
 * Opens a model's folder or GGUF file, reads its config and the headers of its weights, and holds the one against the other. Everything
 * wrong in it is a UserError.
 */
export async function openModel(path: string, o: OpenOptions = {}): Promise<OpenedModel & AsyncDisposable> {
  const source = await openSource(path, o);
  try {
    return { ...(await examineSource(source)), [Symbol.asyncDispose]: () => source.close() };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * Holds a source's tensors against its config, from headers alone. UserError with the likely cause where a weight is
 * missing, or is of another shape or type; tensors that are no weights are left out, with a note.
 */
export async function examineSource(whole: ModelSource): Promise<OpenedModel> {
  const { source: given, notes: taken } = textPart(whole);
  const where = given.configPath;
  const held = heldBy(given);
  const first = describeModel(given.config, where, held);
  const { source, notes } = await canonicalSource(given, first, { where, held });
  const description = source.config === given.config ? first : describeModel(source.config, where, held);
  const extra = checkWeights(source, description);
  return {
    source: extra.length ? new SourceView(source, { without: new Set(extra) }) : source,
    description,
    config: description.config,
    notes: [
      ...source.notes,
      ...taken,
      ...(description.notes ?? []),
      ...notes,
      ...(extra.length ? [`tensors that the model does not use are left out: ${tensorWords(extra)}`] : []),
    ],
  };
}
