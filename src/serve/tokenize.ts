import { flag, list, whole } from '../engine/index.js';
import { checkedTokens } from '../models/index.js';
import { anyText, type Fields } from './fields.js';
import type { Served } from './variant.js';

/** `/tokenize`: the tokens of a text, as lm-eval's remote tokenizer asks for them. */
export function tokenize({ tokenizer, scheduler }: Served, fields: Fields): object {
  const prompt = fields.required('prompt', anyText);
  const addSpecialTokens = fields.maybe('add_special_tokens', flag) ?? true;
  fields.end();
  const tokens = tokenizer.encode(prompt, { addSpecialTokens });
  return { tokens, count: tokens.length, max_model_len: scheduler.context };
}

/** `/detokenize`: special tokens are kept. */
export function detokenize({ tokenizer, model }: Served, fields: Fields): object {
  const tokens = fields.required('tokens', list(whole(0)));
  fields.end();
  return { prompt: tokenizer.decode(checkedTokens(model, tokens)) };
}

/** `/tokenizer_info` */
export const tokenizerInfo = ({ tokenizer }: Served): object => ({
  bos_token: tokenizer.bosToken ?? null,
  eos_token: tokenizer.eosToken ?? null,
  pad_token: null,
  chat_template: tokenizer.chatTemplate ?? null,
  vocab_size: tokenizer.vocabularySize,
});
