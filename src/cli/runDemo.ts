import type { Tokenizer } from '../checkpoint/index.js';
import { mergeDrops, scoreImportance, selectDrops, type Importance } from '../drop/index.js';
import type { SplitRows } from '../text/index.js';
import { compareDecodeSpeeds, evaluateLoss, pairedDifference, type LossResult } from '../evaluate/index.js';
import { generate, type Drops, type Model } from '../models/index.js';
import type { Ui } from './ui.js';

/** What is left of the model with so many modules of one kind dropped. */
interface Level {
  readonly target: 'attention' | 'mlp';
  readonly count: number;
  readonly layers: readonly number[];
  readonly loss: number;
  /** Loss less the whole model's, paired over the rows. */
  readonly difference: number;
  readonly standardError: number | null;
  readonly tokensPerSecond: number;
}

export interface DemoResult {
  readonly importance: Importance;
  readonly whole: { readonly rows: number; readonly loss: number; readonly tokensPerSecond: number };
  readonly levels: readonly Level[];
  readonly sentences: { readonly before: string; readonly after: string; readonly dropped: readonly number[] };
}

const prompt = 'Once upon a time';
const sentenceTokens = 48;
/** Many short runs: the best of them is one that nothing else on the machine disturbed. */
const speedRounds = 16;
const speedTokens = 12;

/** Shares of the layers that are dropped. */
const shares = [1 / 6, 1 / 3, 1 / 2];

/** Scores, drops at three levels of either kind, and writes a sentence before and after. The model is whole again at the end. */
export async function runDemo(model: Model, tokenizer: Tokenizer, rows: SplitRows, ui: Ui): Promise<DemoResult> {
  const now = model.drops;
  const { signal } = ui;
  const importance = await scoreImportance(model, rows.calibration, { onProgress: ui.progress('scoring'), signal });
  const start = tokenizer.encode(prompt, { addSpecialTokens: true });
  const choices = (['attention', 'mlp'] as const).flatMap((target) =>
    shares.map((share) => {
      const count = Math.max(1, Math.round(share * model.layers.length));
      return { target, count, layers: selectDrops(importance, target, count)[target] };
    }),
  );
  const drops = [
    now,
    ...choices.map(({ target, layers }) => mergeDrops(now, { attention: [], mlp: [], [target]: layers })),
  ];
  try {
    const losses = await lossesUnder(model, drops, rows.heldOut, ui);
    const speeds = await compareDecodeSpeeds(model, drops, start, {
      tokens: speedTokens,
      rounds: speedRounds,
      onProgress: ui.progress('measuring speed'),
      signal,
    });
    const levels = choices.map((choice, i) => ({
      ...choice,
      loss: losses[i + 1].loss,
      ...pairedDifference(losses[0], losses[i + 1]),
      tokensPerSecond: speeds[i + 1],
    }));
    const dropped = choices[1].layers;
    model.setDrops(now);
    const before = await sentence(model, tokenizer, start);
    model.setDrops(mergeDrops(now, { attention: dropped, mlp: [] }));
    const after = await sentence(model, tokenizer, start);
    return {
      importance,
      whole: { rows: rows.heldOut.length, loss: losses[0].loss, tokensPerSecond: speeds[0] },
      levels,
      sentences: { before, after, dropped },
    };
  } finally {
    model.setDrops(now);
  }
}

async function lossesUnder(
  model: Model,
  drops: readonly Drops[],
  rows: readonly Int32Array[],
  ui: Ui,
): Promise<LossResult[]> {
  const progress = ui.progress('measuring losses');
  const losses: LossResult[] = [];
  for (const drop of drops) {
    model.setDrops(drop);
    losses.push(await evaluateLoss(model, rows, { signal: ui.signal }));
    progress(losses.length, drops.length, 'levels');
  }
  return losses;
}

async function sentence(model: Model, tokenizer: Tokenizer, start: readonly number[]): Promise<string> {
  const { tokens } = await generate(model, start, { maxTokens: sentenceTokens, stopTokens: tokenizer.stopIds });
  return tokenizer
    .decode([...start, ...tokens], { skipSpecialTokens: true })
    .replace(/\s+/g, ' ')
    .trim();
}
