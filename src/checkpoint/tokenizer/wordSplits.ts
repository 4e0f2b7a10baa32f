import type { JsonObject } from '../jsonFile.js';

/** How a named pre-tokenizer of GGUF files cuts text into words, and what goes with it (docs/formats.md, 'GGUF tokenizer'). */
export interface NamedSplit {
  /** Expressions, each of which cuts what the ones before left; or GPT-2's, perhaps with every digit apart. */
  readonly words: 'gpt-2' | 'digits and gpt-2' | readonly string[];
  readonly normalizer?: 'NFC';
  /** A word that is a token is taken whole. */
  readonly ignoresMerges?: boolean;
  /** Texts begin with the beginning-of-text token, unless the file says otherwise. */
  readonly addsBos?: boolean;
}

const contractions = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)`;
const behind = String.raw`| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const threeDigits = [String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}${behind}`];
const oneDigit = [String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}${behind}`];

/** Words of upper and lower case apart, as OpenAI's o200k and Mistral's Tekken have them; `ends` may end a word. */
const cased = (ends: string, digits: string): string[] => [
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+${ends}|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*${ends}|${digits}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
];

/** Letters that DeepSeek's first tokenizer takes for letters of words: those of scripts with two cases. */
const deepSeekLetters =
  'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃';
const eastAsian = '[一-龥ࠀ-一가-퟿]+';

/** By name; of two that cut alike the first is what is written. */
export const namedSplits: Readonly<Record<string, NamedSplit>> = {
  'gpt-2': { words: 'gpt-2' },
  'phi-2': { words: 'gpt-2' },
  olmo: { words: 'gpt-2' },
  mpt: { words: 'gpt-2' },
  exaone4: { words: 'gpt-2' },
  smollm: { words: 'digits and gpt-2' },
  starcoder: { words: 'digits and gpt-2' },
  refact: { words: 'digits and gpt-2' },
  'command-r': { words: 'digits and gpt-2' },
  codeshell: { words: 'digits and gpt-2' },
  exaone: { words: 'digits and gpt-2' },
  'minerva-7b': { words: 'digits and gpt-2' },
  'llama-bpe': { words: threeDigits, ignoresMerges: true, addsBos: true },
  llama3: { words: threeDigits, ignoresMerges: true, addsBos: true },
  'llama-v3': { words: threeDigits, ignoresMerges: true, addsBos: true },
  falcon3: { words: threeDigits, ignoresMerges: true, addsBos: true },
  pixtral: { words: threeDigits, ignoresMerges: true, addsBos: true },
  dbrx: { words: threeDigits },
  'smaug-bpe': { words: threeDigits },
  qwen2: { words: oneDigit, normalizer: 'NFC' },
  'deepseek-r1-qwen': { words: oneDigit },
  stablelm2: { words: oneDigit, normalizer: 'NFC' },
  megrez: { words: oneDigit },
  tekken: { words: cased('', String.raw`\p{N}`), ignoresMerges: true, addsBos: true },
  'gpt-4o': { words: cased(`${contractions}?`, String.raw`\p{N}{1,3}`) },
  'deepseek-llm': {
    words: [
      String.raw`[\r\n]`,
      String.raw`\s?[${deepSeekLetters}]+`,
      String.raw`\s?[!-/:-~！-／：-～‘-‟　-。]+`,
      String.raw`\s+$`,
      eastAsian,
      String.raw`\p{N}+`,
    ],
  },
  'deepseek-coder': {
    words: [String.raw`[\r\n]`, String.raw`\s?\p{L}+`, String.raw`\s?\p{P}+`, eastAsian, String.raw`\p{N}`],
  },
  'deepseek-v3': {
    words: [
      String.raw`\p{N}{1,3}`,
      '[一-龥぀-ゟ゠-ヿ]+',
      String.raw`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_${'`'}{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
    ],
  },
  // What llama.cpp does where a converter knew no name.
  default: {
    words: [
      String.raw`[\p{P}\$\+<=>\^~\|]+`,
      String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`,
      String.raw`\p{N}+`,
      '[0-9][0-9][0-9]',
    ],
  },
};

/** The `pre_tokenizer` of a `tokenizer.json` that cuts text so. */
export function splitJson({ words }: NamedSplit): JsonObject {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
  if (words === 'gpt-2') return { ...byteLevel, use_regex: true };
  const pretokenizers =
    words === 'digits and gpt-2'
      ? [
          { type: 'Digits', individual_digits: true },
          { ...byteLevel, use_regex: true },
        ]
      : [
          ...words.map((Regex) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })),
          { ...byteLevel, use_regex: false },
        ];
  return { type: 'Sequence', pretokenizers };
}

/** The name for how the `pre_tokenizer` of a `tokenizer.json` cuts text; undefined where none is known. */
export function splitName(given: JsonObject | null | undefined): string | undefined {
  const steps = (given?.type === 'Sequence' ? (given.pretokenizers as JsonObject[]) : [given]).filter(
    Boolean,
  ) as JsonObject[];
  const kinds = steps.map(({ type }) => type);
  const usesRegex = steps.at(-1)?.use_regex !== false;
  if (kinds.pop() !== 'ByteLevel') return undefined;
  if (usesRegex && !kinds.length) return 'gpt-2';
  if (usesRegex && kinds.join() === 'Digits') return steps[0].individual_digits === true ? 'smollm' : undefined;
  if (usesRegex || !kinds.length || kinds.some((kind) => kind !== 'Split')) return undefined;
  const splits = steps.slice(0, -1) as { pattern?: { Regex?: string }; behavior?: string; invert?: boolean }[];
  if (splits.some(({ behavior, invert }) => behavior !== 'Isolated' || invert)) return undefined;
  const words = JSON.stringify(splits.map(({ pattern }) => pattern?.Regex));
  return Object.keys(namedSplits).find((name) => JSON.stringify(namedSplits[name].words) === words);
}
