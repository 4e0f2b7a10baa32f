import { fileError } from '../fileError.js';
import { fileSystem } from '../files/index.js';
import type { JsonObject } from '../jsonFile.js';
import type { TokenizerFiles } from './tokenizerFiles.js';

/**
 * Writes a tokenizer that comes from another file as a folder has it: `tokenizer.json`, `tokenizer_config.json` with the
 * chat templates, and `generation_config.json` with what ends a text. Returns their names.
 */
export async function writeTokenizerFiles(files: TokenizerFiles, folder: string): Promise<string[]> {
  const { config, templates, generation = {} } = files;
  const names = Object.keys(templates);
  const template =
    names.length > 1 || (names.length && !('default' in templates)) ? listed(templates) : templates.default;
  const written: Record<string, JsonObject> = {
    'tokenizer.json': tokenizerJson(files.tokenizer),
    'tokenizer_config.json': { ...config, ...(template === undefined ? {} : { chat_template: template }) },
    ...(Object.keys(generation).length ? { 'generation_config.json': generation } : {}),
  };
  for (const [name, json] of Object.entries(written)) {
    const path = fileSystem.join(folder, name);
    await fileSystem.writeFile(path, `${JSON.stringify(json, null, 2)}\n`).catch((error: unknown) => {
      throw fileError(error, 'cannot write', path);
    });
  }
  return Object.keys(written);
}

const listed = (templates: TokenizerFiles['templates']): JsonObject[] =>
  Object.entries(templates).map(([name, template]) => ({ name, template }));

/** As Hugging Face's library reads it: with merges in place of scores, and the ids of what is put around texts. */
function tokenizerJson({ model, post_processor: ends, added_tokens: added, ...rest }: JsonObject): JsonObject {
  const { scores, unused: _unused, ...plain } = model as JsonObject;
  const vocab = plain.vocab as Readonly<Record<string, number>>;
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: (added as JsonObject[]).map(({ verbatim: _verbatim, ...token }) => ({ ...flags, ...token })),
    ...rest,
    post_processor: withIds(ends as JsonObject | null, vocab),
    model: Array.isArray(scores) ? { ...plain, merges: mergesOf(vocab, scores as (number | null)[]) } : plain,
  };
}

const flags = { single_word: false, lstrip: false, rstrip: false };

function withIds(ends: JsonObject | null, vocab: Readonly<Record<string, number>>): JsonObject | null {
  if (ends?.type !== 'TemplateProcessing') return ends;
  const single = ends.single as { SpecialToken?: { id: string } }[];
  const tokens = single.flatMap(({ SpecialToken: special }) => special?.id ?? []);
  const whole = [...single, { Sequence: { id: 'B', type_id: 1 } }];
  return {
    ...ends,
    pair: whole,
    special_tokens: Object.fromEntries(tokens.map((id) => [id, { id, ids: [vocab[id]], tokens: [id] }])),
  };
}

/**
 * Every way to join two pieces to a third, those of higher scores first: joined by rank, they give what joining by score
 * does. As transformers converts SentencePiece models.
 */
function mergesOf(vocab: Readonly<Record<string, number>>, scores: readonly (number | null)[]): [string, string][] {
  const made = Object.entries(vocab).filter(([, id]) => scores[id] !== null);
  const known = new Map(made);
  const sorted = made.sort(([, a], [, b]) => scores[b]! - scores[a]! || a - b);
  return sorted.flatMap(([piece]) => {
    const chars = Array.from(piece);
    const pairs: [string, string][] = [];
    let left = '';
    for (const char of chars.slice(0, -1)) {
      left += char;
      const right = piece.slice(left.length);
      if (known.has(left) && known.has(right)) pairs.push([left, right]);
    }
    return pairs.sort((a, b) => known.get(a[0])! - known.get(b[0])! || known.get(a[1])! - known.get(b[1])!);
  });
}
