import type { Tokenizer } from '../checkpoint/index.js';
import type { Drops, Model } from '../models/index.js';
import type { Scheduler } from './scheduler.js';
import type { TokenTexts } from './tokenTexts.js';

/** A name under which a model answers, and what it skips then. All variants of a model share its weights. */
export interface Variant {
  readonly name: string;
  readonly drops: Drops;
}

/** A variant that answers. */
export interface Served extends Variant {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly texts: TokenTexts;
  /** A key-value cache belongs to one set of drops, so each variant has its own slots. */
  readonly scheduler: Scheduler;
  /** A Jinja chat template in place of the tokenizer's own. */
  readonly template?: string;
  /** Those that end a text. */
  readonly stopTokens: ReadonlySet<number>;
  /** That which the chat template writes behind an answer, too. */
  readonly chatStopTokens: ReadonlySet<number>;
}
