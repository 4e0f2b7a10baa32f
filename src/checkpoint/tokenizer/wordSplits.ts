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

/**
 * Letters that DeepSeek's first tokenizer takes for letters of words, those of scripts with two cases, by their code points:
 * some of them are equivalent to others, which editors may put in their place.
 */
const deepSeekLetters =
  '41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943'
    .split(' ')
    .map((range) => range.replace(/[^-]+/g, (code) => String.fromCodePoint(Number.parseInt(code, 16))))
    .join('');
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
