/** Tokenizers in every form, with what stands beside them, and chat templates. */
import { readFileSync } from 'node:fs';
import { loadTokenizer } from '../../../src/checkpoint/index.js';
import type { Files, Target } from '../target.js';

const fixtures = new URL('../../fixtures/tokenizer/', import.meta.url);
const json = JSON.stringify;
const letters = Array.from('abcdefghijklmnopqrstuvwxyz.,! \n', (letter, i) => [letter, 3 + i] as const);
const end = {
  id: 2,
  content: '</s>',
  special: true,
  normalized: false,
  single_word: false,
  lstrip: true,
  rstrip: false,
};

const template = `{% for m in messages %}{% if m.role == 'user' %}[{{ m['content'] | trim }}]{% else %}{{ m.content }}{% endif %}
{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ loop.index0 }}{% endfor %}{{ eos_token }}{% if add_generation_prompt %}[a]{% endif %}`;

const config = {
  ...{ tokenizer_class: 'PreTrainedTokenizerFast', bos_token: '<s>', eos_token: { content: '</s>' }, unk_token: null },
  ...{ chat_template: template, clean_up_tokenization_spaces: false, model_max_length: 1e30, add_bos_token: true },
  ...{ added_tokens_decoder: { '40': { content: '<x>', special: true } }, additional_special_tokens: ['<y>'] },
};

const bpe = {
  ...{ version: '1.0', truncation: null, padding: null, added_tokens: [{ ...end, id: 2 }] },
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'NFKC' },
      { type: 'Prepend', prepend: '▁' },
      { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
      { type: 'Strip', strip_left: true, strip_right: false },
      { type: 'Lowercase' },
    ],
  },
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: "'s|\\p{L}+|\\p{N}{1,3}|\\s+" }, behavior: 'Isolated', invert: false },
      { type: 'Digits', individual_digits: true },
      { type: 'Punctuation', behavior: 'Isolated' },
      { type: 'ByteLevel', add_prefix_space: false, use_regex: true, trim_offsets: true },
    ],
  },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '</s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: { '</s>': { id: '</s>', ids: [2], tokens: ['</s>'] } },
  },
  decoder: {
    type: 'Sequence',
    decoders: [
      { type: 'ByteLevel' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      { type: 'Strip', content: ' ', start: 1, stop: 0 },
    ],
  },
  model: {
    ...{ type: 'BPE', dropout: null, unk_token: '<unk>', continuing_subword_prefix: null, end_of_word_suffix: null },
    ...{ fuse_unk: true, byte_fallback: true, ignore_merges: false },
    vocab: Object.fromEntries([['<unk>', 0], ['<s>', 1], ['</s>', 2], ...letters, ['th', 35], ['the', 36], ['Ġ', 37]]),
    merges: [['t', 'h'], 'th e'],
  },
};

const unigram = {
  ...{ added_tokens: [end], normalizer: { type: 'Precompiled', precompiled_charsmap: '' } },
  pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  post_processor: { type: 'BertProcessing', sep: ['</s>', 2], cls: ['<s>', 1] },
  decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
  model: {
    ...{ type: 'Unigram', unk_id: 0, byte_fallback: false },
    vocab: [
      ['<unk>', 0],
      ['<s>', 0],
      ['</s>', 0],
      ['▁', -1],
      ...letters.map(([letter, i]) => [letter, -i / 4]),
      ['▁the', -2],
    ],
  },
};

const wordPiece = {
  ...{
    added_tokens: [{ ...end, single_word: true }],
    post_processor: null,
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  },
  normalizer: {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  model: {
    ...{ type: 'WordPiece', unk_token: '<unk>', continuing_subword_prefix: '##', max_input_chars_per_word: 100 },
    vocab: Object.fromEntries([
      ['<unk>', 0],
      ['</s>', 2],
      ...letters,
      ...letters.map(([letter, i]) => [`##${letter}`, 50 + i]),
    ]),
  },
};

const beside: Files = {
  'tokenizer_config.json': json(config),
  'config.json': json({ model_type: 'llama', vocab_size: 100, eos_token_id: 2, bos_token_id: 1 }),
};
const whole = (tokenizer: object): Files => ({ ...beside, 'tokenizer.json': json(tokenizer) });
/** Of a vocabulary as small as the tiny models'. */
export const tokenizerFiles: Files = {
  'tokenizer.json': json({ ...bpe, normalizer: null, decoder: null }),
  'tokenizer_config.json': json({ eos_token: '</s>' }),
};
const merges: Files = {
  ...beside,
  'vocab.json': json(bpe.model.vocab),
  'merges.txt': '#version: 0.2\nt h\nth e\n',
  'tokenizer_config.json': json({ tokenizer_class: 'GPT2Tokenizer', eos_token: '</s>', unk_token: '<unk>' }),
};

const text = 'The  cat’s 1234 ﬁsh,\r\nsaid <x>hello</s> the end. 日本 \u{1f600}';

async function tokens(folder: string): Promise<number[]> {
  const tokenizer = await loadTokenizer(folder);
  const ids = tokenizer.encode(text, { addSpecialTokens: true });
  if (ids.some((id) => !(Number.isInteger(id) && id >= 0))) return ids.map(() => NaN);
  tokenizer.decode(ids);
  tokenizer.decode([0, 1, 2, 99, 1e6], { skipSpecialTokens: true });
  return [...ids, ...tokenizer.stopIds, tokenizer.vocabularySize];
}

const messages = [
  { role: 'system', content: 'Be kind.' },
  { role: 'user', content: 'Tell a story. ' },
  { role: 'assistant', content: 'Once upon a time.' },
];

async function chat(folder: string): Promise<void> {
  const tokenizer = await loadTokenizer(folder);
  tokenizer.encode(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true }).slice(0, 1e4));
}

export const tokenizerTargets: readonly Target[] = [
  {
    name: 'tokenizer.json',
    share: 20,
    inputs: async () => [
      ...[bpe, unigram, wordPiece].map(whole),
      {
        'tokenizer.json': readFileSync(new URL('tokenizer.json', fixtures)),
        'tokenizer_config.json': readFileSync(new URL('tokenizer_config.json', fixtures)),
      },
    ],
    changes: /^tokenizer\.json$/,
    read: tokens,
  },
  {
    name: 'files beside a tokenizer',
    share: 8,
    inputs: async () => [
      {
        ...whole(bpe),
        'special_tokens_map.json': json({ bos_token: '<s>', eos_token: { content: '</s>', lstrip: false } }),
        'added_tokens.json': json({ '<z>': 41, '<w>': 42 }),
        'generation_config.json': json({ eos_token_id: [2, 3], bos_token_id: 1, temperature: 0.7, do_sample: true }),
      },
    ],
    changes: /^(tokenizer_config|special_tokens_map|added_tokens|generation_config|config)\.json$/,
    read: tokens,
  },
  {
    name: 'tokenizer.model',
    share: 6,
    inputs: async () => {
      const goldens = JSON.parse(readFileSync(new URL('goldens.json', fixtures), 'utf8')) as {
        sentencePieces: { model: string }[];
      };
      return goldens.sentencePieces.map(({ model }) => ({
        ...beside,
        'tokenizer.model': Buffer.from(model, 'base64'),
      }));
    },
    changes: /^tokenizer\.model$/,
    read: tokens,
  },
  {
    name: 'vocab.json and merges.txt',
    share: 5,
    inputs: async () => [merges],
    changes: /^(vocab|tokenizer_config)\.json$|^merges/,
    read: tokens,
  },
  {
    name: 'chat templates',
    share: 10,
    inputs: async () => [
      { ...whole(bpe), 'chat_template.jinja': template },
      {
        ...whole(bpe),
        'tokenizer_config.json': json({
          ...config,
          chat_template: [
            { name: 'default', template },
            { name: 'tools', template },
          ],
        }),
      },
      {
        ...whole(bpe),
        'tokenizer_config.json': json({ ...config, chat_template: null }),
        'chat_template.json': json({ chat_template: template }),
      },
    ],
    changes: /^(chat_template|tokenizer_config)/,
    read: chat,
  },
];
