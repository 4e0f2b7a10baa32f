import { allFinite, createBatch, type KvCache, type Tensor } from '../engine/index.js';
import { isFiniteStream, notFinite, type Model } from '../models/index.js';
import type { Sequence } from './sequence.js';
import type { Slot } from './slot.js';
import { tokenScores, type TokenScore } from './tokenScores.js';

/** Tokens of a sequence that run in a step. */
export interface Run {
  readonly slot: Slot;
  readonly sequence: Sequence;
  /** How many came before. */
  readonly start: number;
  readonly tokens: readonly number[];
}

/** A row of the hidden states whose next token is to be told of. */
interface Scored {
  readonly row: number;
  readonly token: number;
  readonly top: number;
  readonly tell: (score: TokenScore) => void;
}

/**
 * One pass over some tokens of each of several sequences, and what follows from it: their slots hold these tokens, prompts
 * are scored, and where all of a text has run, its next token is chosen. A sequence whose logits are not finite fails
 * alone. In the engine's turn.
 */
export async function runStep(model: Model, cache: KvCache, runs: readonly Run[]): Promise<void> {
  const batch = createBatch(
    runs.map(({ tokens }) => tokens),
    runs.map(({ start }) => start),
    runs.map(({ slot }) => slot.index),
  );
  // Hidden states of all tokens are of use only where a prompt is scored.
  const last = !runs.some(({ sequence, tokens }) => tokens.length > 1 && sequence.request.scorePrompt);
  const hidden = await model.forwardYielding(batch, { cache, last });
  let end = 0;
  const placed = runs.map((run, i) => {
    end += run.tokens.length;
    return { ...run, lastRow: last ? i : end - 1 };
  });
  for (const { slot, tokens } of runs) slot.tokens.push(...tokens);
  const ending = placed.filter(
    ({ sequence, start, tokens }) => start + tokens.length === sequence.text.length && sequence.tokensLeft > 0,
  );
  const chosen = await chooseTokens(model, hidden, ending);
  const scores = new Map<Sequence, TokenScore>();
  await score(model, hidden, [
    ...placed.flatMap((run) => promptRows(run)),
    ...ending.flatMap(({ sequence, lastRow }) => {
      const { top } = sequence.request;
      const token = chosen.get(sequence);
      if (top === undefined || token === undefined) return [];
      return [{ row: lastRow, token, top, tell: (told: TokenScore) => void scores.set(sequence, told) }];
    }),
  ]);
  for (const { sequence, slot, start, tokens } of runs) {
    if (sequence.isDone) continue;
    const bad = [...sequence.promptScores, scores.get(sequence)].some((told) => told && !isFiniteScore(told));
    if (bad) {
      slot.scores.length = 0;
      sequence.fail(await notFinite(model, sequence.text, 'a logit'));
      continue;
    }
    if (start + tokens.length < sequence.text.length) continue;
    const token = chosen.get(sequence);
    if (token === undefined) sequence.end('length');
    else sequence.add({ token, score: scores.get(sequence), ends: sequence.request.stopTokens.has(token) });
  }
}

interface Placed extends Run {
  /** Of its last token, among the hidden states. */
  readonly lastRow: number;
}

/** The next token of each sequence; one whose logits are not finite fails, and has none. */
async function chooseTokens(model: Model, hidden: Tensor, ending: readonly Placed[]): Promise<Map<Sequence, number>> {
  const { engine, config } = model;
  const chosen = new Map<Sequence, number>();
  const logitsOf = (some: readonly Placed[]): Tensor =>
    model.logits(
      engine.gather(
        hidden,
        Int32Array.from(some, ({ lastRow }) => lastRow),
      ),
    );
  const sampled = ending.filter(({ sequence }) => sequence.request.sample);
  const greedy = ending.filter(({ sequence }) => !sequence.request.sample);
  const fail = async ({ sequence }: Placed): Promise<void> =>
    sequence.fail(await notFinite(model, sequence.text, 'a logit'));
  if (greedy.length) {
    const logits = logitsOf(greedy);
    const tokens = (await engine.read(engine.argmax(logits))) as Int32Array;
    const allAreFinite = await isFiniteStream(model, logits);
    for (const [i, one] of greedy.entries())
      if (allAreFinite || (await isFiniteStream(model, logits.rows(i, i + 1)))) chosen.set(one.sequence, tokens[i]);
      else await fail(one);
  }
  if (sampled.length) {
    const logits = logitsOf(sampled);
    const values = await engine.readFloats(logits);
    const { vocabSize } = config;
    for (const [i, one] of sampled.entries()) {
      const own = values.slice(i * vocabSize, (i + 1) * vocabSize);
      if (allFinite(own)) chosen.set(one.sequence, one.sequence.request.sample!(own));
      else await fail(one);
    }
  }
  return chosen;
}

/** The rows of a run whose next token is of the prompt, where that is to be scored and is not yet. */
function promptRows({ sequence, slot, start, tokens, lastRow }: Placed): Scored[] {
  const { scorePrompt, prompt, top = 0 } = sequence.request;
  if (!scorePrompt) return [];
  return tokens.flatMap((_, i) => {
    const at = start + i + 1; // of the token that follows
    if (at >= prompt.length) return [];
    const tell = (told: TokenScore): void => void (sequence.promptScores[at] = slot.scores[at] = told);
    return [{ row: lastRow - tokens.length + 1 + i, token: prompt[at], top, tell }];
  });
}

/** Those that ask for as many of the likeliest are scored together. */
async function score(model: Model, hidden: Tensor, rows: readonly Scored[]): Promise<void> {
  for (const top of new Set(rows.map((row) => row.top))) {
    const asked = rows.filter((row) => row.top === top);
    const told = await tokenScores(
      model,
      model.engine.gather(
        hidden,
        Int32Array.from(asked, ({ row }) => row),
      ),
      Int32Array.from(asked, ({ token }) => token),
      top,
    );
    told.forEach((one, i) => asked[i].tell(one));
  }
}

const isFiniteScore = ({ logprob, top }: TokenScore): boolean =>
  Number.isFinite(logprob) && top.every((ranked) => Number.isFinite(ranked.logprob));
