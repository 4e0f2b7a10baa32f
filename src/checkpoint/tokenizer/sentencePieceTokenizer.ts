import type { JsonObject } from '../jsonFile.js';
import { toBase64 } from './base64.js';
import { pieceTypes, type SentencePieceModel } from './sentencePiece.js';

/** Stands for a space. */
const mark = '▁';

/**
 * A SentencePiece model as the `tokenizer.json` that gives the same ids. Its BPE has `scores` by token id in place of
 * merges, with `unused` pieces beside them, which only this project's encoder reads; `config` is tokenizer_config.json.
 */
export function sentencePieceTokenizer(model: SentencePieceModel, config: JsonObject): JsonObject {
  const { pieces, addDummyPrefix } = model;
  const ofType = (...types: number[]): number[] => pieces.flatMap(({ type }, id) => (types.includes(type) ? [id] : []));
  const special = ofType(pieceTypes.control, pieceTypes.unknown);
  const userDefined = ofType(pieceTypes.userDefined);
  const added = [...special, ...userDefined].sort((a, b) => a - b);
  const firstOnly = config.legacy === false;
  const characters = model.characterMap && toBase64(model.characterMap);
  const normalizers = [
    ...(characters ? [{ type: 'Precompiled', precompiled_charsmap: characters }] : []),
    ...(model.removeExtraWhitespaces ? [replace({ Regex: String.raw`\A +| +\z|(?<= ) +` }, '')] : []),
    ...(addDummyPrefix && !firstOnly ? [{ type: 'Prepend', prepend: mark }] : []),
    replace({ String: ' ' }, mark),
  ];
  return {
    added_tokens: added.map((id) => {
      const user = pieces[id].type === pieceTypes.userDefined;
      return { id, content: pieces[id].text, special: !user, normalized: user, verbatim: user };
    }),
    normalizer: { type: 'Sequence', normalizers },
    pre_tokenizer: addDummyPrefix && firstOnly ? { type: 'Metaspace', prepend_scheme: 'first', split: false } : null,
    post_processor: addedEnds(model, config),
    decoder: {
      type: 'Sequence',
      decoders: [
        replace({ String: mark }, ' '),
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(addDummyPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: model.kind === 'bpe' ? pieceMerges(model) : unigram(model),
  };
}

/** As Llama's tokenizer, which puts the beginning-of-text token before a text unless the config says otherwise. */
function addedEnds({ pieces, bosId, eosId }: SentencePieceModel, config: JsonObject): JsonObject | null {
  const token = (key: string, id: number): JsonObject[] => {
    const named = config[key] as string | { content: string } | null | undefined;
    const text = (typeof named === 'string' ? named : named?.content) ?? pieces[id]?.text;
    return text === undefined ? [] : [{ SpecialToken: { id: text, type_id: 0 } }];
  };
  const before = config.add_bos_token === false ? [] : token('bos_token', bosId);
  const behind = config.add_eos_token === true ? token('eos_token', eosId) : [];
  if (before.length + behind.length === 0) return null;
  return { type: 'TemplateProcessing', single: [...before, { Sequence: { id: 'A', type_id: 0 } }, ...behind] };
}

const replace = (pattern: JsonObject, content: string): JsonObject => ({ type: 'Replace', pattern, content });

function pieceMerges({ pieces, unknownId, byteFallback }: SentencePieceModel): JsonObject {
  const made: readonly number[] = [pieceTypes.normal, pieceTypes.userDefined, pieceTypes.unused];
  return {
    type: 'BPE',
    unk_token: pieces[unknownId].text,
    fuse_unk: true,
    byte_fallback: byteFallback,
    vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
    merges: [],
    // Control tokens and bytes never come of merging.
    scores: pieces.map(({ score, type }) => (made.includes(type) ? score : null)),
    unused: pieces.flatMap(({ text, type }) => (type === pieceTypes.unused ? [text] : [])),
  };
}

function unigram({ pieces, unknownId, byteFallback }: SentencePieceModel): JsonObject {
  const never: readonly number[] = [pieceTypes.control, pieceTypes.byte, pieceTypes.unused];
  return {
    type: 'Unigram',
    unk_id: unknownId,
    byte_fallback: byteFallback,
    // So low that any other way through the text is better.
    vocab: pieces.map(({ text, score, type }) => [text, never.includes(type) ? -1e9 : score]),
  };
}
