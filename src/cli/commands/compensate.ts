import type { CompensationMode } from '../../drop/index.js';
import { refitModel } from '../../jobs/index.js';
import { calibrationOptions, lossOptions } from '../calibration.js';
import { command, computeOptionsOf } from '../command.js';
import { compensationOptions, refuseInt4 } from '../compensation.js';
import { describeCompensation } from '../compensationText.js';
import { overwriteOption, requiredFiles, requiredText, text, type Option } from '../options.js';
import { maxMemoryOption } from '../scale.js';

const options = {
  out: requiredText('folder to write the refit model to', 'dir'),
  base: {
    ...text('the whole model, where the folder does not hold the weights of what was dropped', 'dir'),
    model: true,
  } as Option<string | undefined>,
  ...compensationOptions,
  compensate: { ...compensationOptions.compensate, default: 'all' } as Option<CompensationMode>,
  calibration: requiredFiles('text to fit on'),
  ...calibrationOptions,
  ...lossOptions,
  maxMemory: maxMemoryOption,
  overwrite: overwriteOption,
};

export const compensate = command('compensate', 'Give back part of what dropped modules did', {
  description:
    'Output projections that stay (o_proj, down_proj) are refit in closed form, so that on the calibration rows the ' +
    'residual stream comes near the whole model’s. The model keeps its size and its format: whatever reads it reads ' +
    'the result. It says what came back on rows that the fit did not see. An interrupted run leaves its progress beside ' +
    '--out, and the same command line continues it.',
  options,
  renamed: { mode: 'compensate', texts: 'text' },
  oldNames: { mode: 'compensate' },
  examples: [
    [
      'compensate smaller --base Llama-3.2-1B --calibration c4.jsonl --samples 16 --length 512 --out refit',
      'a folder that drop has written',
    ],
    [
      'compensate smaller --base Llama-3.2-1B --calibration c4.jsonl wiki.txt --text c4.jsonl wiki.txt --samples 16 --length 512 --out refit',
      'fitted on a mix, measured on each text',
    ],
  ],
  run: async (o, ui) => {
    refuseInt4(o);
    const {
      out,
      base,
      compensate: mode,
      alpha,
      calibration,
      samples,
      length,
      field,
      heldOut,
      maxMemory,
      overwrite,
    } = o;
    const result = await refitModel(o.model, {
      ...{ out, base, mode, alpha, calibration, samples, length, field, texts: o.text, heldOut, maxMemory, overwrite },
      ...computeOptionsOf(o),
      ...ui.job,
    });
    ui.show(ui.noted(result), ({ compensation, out: written }) => [
      ...describeCompensation(compensation),
      `${written}: written`,
    ]);
  },
});
