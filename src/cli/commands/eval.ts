import { calibrationRows } from '../../text/index.js';
import { evaluateLoss, type LossResult } from '../../evaluate/index.js';
import type { Drops } from '../../models/index.js';
import { watched } from '../../jobs/watchedTokenizer.js';
import { fieldOption } from '../calibration.js';
import { command, loadOptionsOf } from '../command.js';
import { loadTextModel } from '../../jobs/textModel.js';
import { dropOptions, int, requiredFiles } from '../options.js';
import { provenance, type Provenance } from '../../jobs/provenance.js';
import { facts } from '../table.js';
import { formatCount, formatLayers } from '../units.js';

interface Evaluation extends LossResult, Provenance {
  readonly model: string;
  readonly text: readonly string[];
  readonly rows: number;
  readonly length: number;
  readonly drop: Drops;
}

export const evaluate = command('eval', "Measure a model's loss and perplexity on a text", {
  description:
    'The text is packed into rows as for calibration: the first --rows rows of --length tokens, each from its own start.',
  options: {
    text: requiredFiles('text to measure on: .txt, .jsonl, or a folder of them'),
    rows: int('rows to measure on', 1, 16),
    length: int('tokens a row, at most the context of the model', 2, 512),
    field: fieldOption,
    ...dropOptions,
  },
  examples: [
    ['eval Llama-3.2-1B --text wiki.txt', 'the loss of the model as it is'],
    ['eval Llama-3.2-1B --text wiki.txt --drop-attn 10-13', 'without four attentions, whose weights are not read'],
    ['eval models/tiny-stories --text stories.txt --rows 64 --json', "every row's loss too"],
  ],
  run: async (o, ui) => {
    await using loaded = await loadTextModel(o.model, { ...loadOptionsOf(o), ...ui.job });
    const { model, tokenizer } = loaded;
    const { rows, length, note } = await calibrationRows(
      watched(tokenizer, o.rows * o.length, ui.progress('tokenizing')),
      o.text,
      {
        samples: o.rows,
        length: o.length,
        maxLength: model.config.maxPositionEmbeddings,
        field: o.field,
      },
    );
    ui.note(note);
    const loss = await evaluateLoss(model, rows, { onProgress: ui.progress('measuring'), signal: ui.signal });
    const result: Evaluation = {
      model: o.model,
      ...loss,
      text: o.text,
      rows: rows.length,
      length,
      drop: model.drops,
      ...provenance(model),
    };
    ui.show(result, describe);
  },
});

function describe({ loss, perplexity, tokens, rows, length, drop }: Evaluation): string[] {
  return facts([
    ['loss', `${loss.toFixed(4)} nats a token`],
    ['perplexity', perplexity.toFixed(3)],
    ['tokens', `${formatCount(tokens)} (${rows} rows of ${length})`],
    ['dropped', `attention = ${formatLayers(drop.attention)}, mlp = ${formatLayers(drop.mlp)}`],
  ]);
}
