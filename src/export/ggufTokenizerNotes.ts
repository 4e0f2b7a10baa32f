/** What of a tokenizer a GGUF file cannot hold, in sentences. */
import { shownValue } from '../engine/index.js';
import { addedTokenOf, type AddedToken, type ChatTemplates, type JsonObject } from '../checkpoint/index.js';

export const addedTokens = (tokenizer: JsonObject): AddedToken[] =>
  (tokenizer.added_tokens as JsonObject[]).map(addedTokenOf);

export const templateNotes = (templates: ChatTemplates): string[] =>
  templates.default === undefined && Object.keys(templates).length
    ? ['none of the chat templates is the default one, so llama.cpp takes one of its own']
    : [];

/** What a GGUF cannot say of added tokens. */
export function flagNotes(tokenizer: JsonObject): string[] {
  const flagged = addedTokens(tokenizer).filter((t) => t.leftStrip || t.rightStrip || t.singleWord);
  if (flagged.length === 0) return [];
  const names = flagged.slice(0, 3).map(({ content }) => shownValue(content));
  const more = flagged.length > names.length ? ` and ${flagged.length - names.length} more` : '';
  return [
    `a GGUF cannot say that added tokens take white space along or count as whole words only: ${names.join(', ')}${more}`,
  ];
}

/** What normalizing llama.cpp does not do: all but what marks spaces in a SentencePiece-like tokenizer. */
export function normalizerNotes(normalizer: JsonObject | null, marksSpaces: boolean): string[] {
  const lost = stepsOf(normalizer, 'normalizers').filter(
    ({ type, prepend, pattern, content }) =>
      !marksSpaces ||
      !(
        (type === 'Prepend' && prepend === '▁') ||
        (type === 'Replace' && (pattern as JsonObject).String === ' ' && content === '▁')
      ),
  );
  const names = [...new Set(lost.map(({ type }) => String(type)))];
  return names.length
    ? [`a GGUF cannot hold the tokenizer's normalizer (${names.join(', ')}): tokens of some texts may differ`]
    : [];
}

/** The steps of a part of tokenizer.json, one or several. */
export const stepsOf = (value: unknown, key: string): JsonObject[] => {
  const step = value as JsonObject | null | undefined;
  return !step
    ? []
    : step.type === 'Sequence'
      ? (step[key] as JsonObject[]).flatMap((one) => stepsOf(one, key))
      : [step];
};
