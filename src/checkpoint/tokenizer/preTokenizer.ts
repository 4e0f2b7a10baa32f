import type { JsonObject } from '../jsonFile.js';
import { BertPreTokenizer, ByteLevelPreTokenizer } from './library.js';
import { patternOf, splitAt, type SplitBehavior } from './wordSplit.js';

/** Cuts a piece of text into words; `first` where the whole text begins with it. */
export type PreTokenizer = (text: string, first: boolean) => readonly string[];

const gpt2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
const punctuation = /[\p{P}!-/:-@[-`{-~]/gu;

/**
 * The `pre_tokenizer` of a `tokenizer.json`, as Hugging Face's Rust library runs it. The JavaScript library takes its
 * own idea of digits, spaces, punctuation and of what is done where a pattern fits, and never splits at Metaspace's mark.
 */
export function preTokenizerOf(json: JsonObject | null | undefined): PreTokenizer {
  if (!json) return (text) => [text];
  switch (json.type) {
    case 'Sequence': {
      const steps = (json.pretokenizers as JsonObject[]).map(preTokenizerOf);
      return (text, first) =>
        steps.reduce<readonly string[]>(
          (pieces, step) => pieces.flatMap((piece, i) => step(piece, first && i === 0)),
          [text],
        );
    }
    case 'ByteLevel':
      return byteLevel(json);
    case 'Metaspace':
      return metaspace(json);
    case 'Split':
      return splitting(patternOf(json.pattern as JsonObject), json.behavior, json.invert === true);
    case 'Digits':
      return splitting(/\p{N}/gu, json.individual_digits === true ? 'Isolated' : 'Contiguous');
    case 'Punctuation':
      return splitting(punctuation, json.behavior ?? 'Isolated');
    case 'Whitespace':
      return splitting(patternOf({ Regex: String.raw`\w+|[^\w\s]+` }), 'Removed', true);
    case 'WhitespaceSplit':
      return splitting(/\p{White_Space}/gu, 'Removed');
    case 'FixedLength': {
      const length = (json.length as number | undefined) ?? 5;
      return (text) => splitAt(text, new RegExp(`[^]{1,${length}}`, 'gu'), 'Isolated');
    }
    default: {
      const bert = new BertPreTokenizer();
      return (text) => bert.pre_tokenize_text(text);
    }
  }
}

function splitting(pattern: RegExp, behavior: unknown, invert = false): PreTokenizer {
  // Some files write `removed` for `Removed`.
  const [letter, ...rest] = (behavior as string | undefined) ?? 'Isolated';
  const named = [letter.toUpperCase(), ...rest].join('') as SplitBehavior;
  return (text) => splitAt(text, pattern, named, invert);
}

function byteLevel(json: JsonObject): PreTokenizer {
  const pattern = json.use_regex === false ? undefined : patternOf({ Regex: gpt2 });
  const bytes = new ByteLevelPreTokenizer({ type: 'ByteLevel', use_regex: false });
  const prefix = json.add_prefix_space === true;
  return (text) => {
    const whole = prefix && !text.startsWith(' ') ? ` ${text}` : text;
    const words = pattern ? splitAt(whole, pattern, 'Isolated') : [whole];
    return words.flatMap((word) => bytes.pre_tokenize_text(word));
  };
}

function metaspace(json: JsonObject): PreTokenizer {
  const mark = (json.replacement as string | undefined) ?? '▁';
  const scheme = json.add_prefix_space === false ? 'never' : (json.prepend_scheme ?? 'always');
  const pattern = json.split === false ? undefined : patternOf({ String: mark });
  return (text, first) => {
    const marked = text.replaceAll(' ', mark);
    const prepend = !marked.startsWith(mark) && (scheme === 'always' || (scheme === 'first' && first));
    const whole = prepend ? mark + marked : marked;
    return pattern ? splitAt(whole, pattern, 'MergedWithNext') : [whole];
  };
}
