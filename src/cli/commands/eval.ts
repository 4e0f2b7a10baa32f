import { evaluateModel, type EvaluateResult } from '../../jobs/index.js';
import { bosPlaces } from '../../text/index.js';
import { heldOutOption, textOptions } from '../calibration.js';
import { command, loadOptionsOf } from '../command.js';
import { choice, dropOptions, requiredFiles } from '../options.js';
import { facts } from '../table.js';
import { formatCount, formatLayers } from '../units.js';

export const evaluate = command('eval', "Measure a model's loss and perplexity on a text", {
  description:
    'The text is packed into rows as for calibration, documents ended by the end-of-text token: the first --held-out rows ' +
    'of --length tokens, each from its own start. --bos puts a beginning-of-text token as other tools do: document before ' +
    'each document, in place of the other token (GPTQ’s measurements, for a text of one document); row over the first ' +
    'token of each row (llama-perplexity); alone before each document, which is then a row of its own, cut to --length, ' +
    'and counts the same as any other (Hugging Face evaluate).',
  options: {
    text: requiredFiles('text to measure on: .txt, .jsonl, or a folder of them'),
    heldOut: heldOutOption,
    ...textOptions,
    bos: choice('where a beginning-of-text token goes (default: nowhere)', bosPlaces),
    ...dropOptions,
  },
  renamed: { texts: 'text' },
  oldNames: { rows: 'heldOut' },
  examples: [
    ['eval Llama-3.2-1B --text wiki.txt', 'the loss of the model as it is'],
    ['eval Llama-3.2-1B --text wiki.txt --drop-attn 10-13', 'without four attentions, whose weights are not read'],
    ['eval Llama-3.2-1B --text wiki.txt --bos document', 'beside the perplexities of papers on quantization'],
    ['eval models/tiny-stories --text stories.txt --held-out 64 --json', "every row's loss too"],
  ],
  run: async (o, ui) => {
    const { text: texts, heldOut, length, field, bos } = o;
    const result = await evaluateModel(o.model, {
      ...{ texts, heldOut, length, field, bos },
      ...loadOptionsOf(o),
      ...ui.job,
    });
    ui.show(result, describe);
  },
});

function describe({ loss, perplexity, tokens, rows, length, bos, drop }: EvaluateResult): string[] {
  const measured = bos === 'alone' ? `${rows} documents of at most ${length}` : `${rows} rows of ${length}`;
  return facts([
    [
      'loss',
      bos === 'alone' ? `${loss.toFixed(4)} nats a token, mean over documents` : `${loss.toFixed(4)} nats a token`,
    ],
    ['perplexity', perplexity.toFixed(3)],
    ['tokens', `${formatCount(tokens)} (${measured})`],
    ...(bos === null ? [] : [['beginning-of-text token', bosWords[bos]] as const]),
    ['dropped', `attention = ${formatLayers(drop.attention)}, mlp = ${formatLayers(drop.mlp)}`],
  ]);
}

const bosWords: Readonly<Record<NonNullable<EvaluateResult['bos']>, string>> = {
  document: 'before each document',
  row: 'over the first token of each row',
  alone: 'before each document, a row of its own',
};
