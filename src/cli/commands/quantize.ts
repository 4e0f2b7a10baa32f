import { int4Methods } from '../../checkpoint/index.js';
import { UserError, shownValue } from '../../engine/index.js';
import { quantizeCheckpoint } from '../../jobs/index.js';
import { quantizeMethods, type GroupOptions } from '../../quant/index.js';
import { calibrationOptions, lossOptions } from '../calibration.js';
import { command, computeOptionsOf, refuseRounding } from '../command.js';
import { choice, files, flag, int, number, overwriteOption, requiredText, type Option } from '../options.js';
import { describeQuantization } from '../quantizeText.js';
import { maxMemoryOption } from '../scale.js';

const groupSizeOption: Option<GroupOptions['groupSize']> = {
  ...int('weights along a row that share a scale: 32, 64, 128, or -1 for the row', -1, 128),
  default: 128,
  parse: (given, name) => {
    const found = ([32, 64, 128, -1] as const).find((one) => String(one) === given.trim());
    if (found === undefined) throw new UserError(`${name} must be 32, 64, 128 or -1, found ${shownValue(given)}`);
    return found;
  },
};

const options = {
  out: requiredText('folder to write the quantized model to', 'dir'),
  method: choice('how weights are rounded', quantizeMethods, 'gptq'),
  format: choice('the files’ layout', int4Methods, 'compressed-tensors'),
  groupSize: groupSizeOption,
  symmetric: flag('no zero points (the default of gptq and compressed-tensors)'),
  clip: choice('of rtn and gptq: whether each range is cut where that errs less', ['none', 'search'] as const, 'none'),
  damping: number('of gptq: added to the diagonal, as a share of its mean', 0.01),
  expertFloor: int('tokens that must visit an expert to calibrate it on them alone', 1, 128),
  calibration: files('text to calibrate on, for gptq and awq'),
  ...calibrationOptions,
  ...lossOptions,
  quantizeHead: flag('the output projection too, rounded to nearest'),
  maxMemory: maxMemoryOption,
  overwrite: overwriteOption,
};

export const quantize = command('quantize', 'Write a model with weights in 4 bits', {
  description:
    'Projections become integers of 4 bits in groups along a row, after dropping if any was dropped. gptq and awq look ' +
    'at a text to lose less. The folder loads in transformers and vLLM, and in every command here. An interrupted run ' +
    'leaves its progress beside --out, and the same command line continues it.',
  options,
  renamed: { texts: 'text', head: 'quantizeHead' },
  examples: [
    ['quantize Llama-3.2-1B --calibration c4.jsonl --out int4', 'GPTQ in groups of 128, as compressed-tensors'],
    ['quantize smaller --method awq --format awq --calibration c4.jsonl --out int4', 'AWQ, of a dropped model'],
    ['quantize Llama-3.2-1B --method rtn --group-size 32 --out int4', 'rounded to nearest, without a text'],
  ],
  run: async (o, ui) => {
    refuseRounding(o, 'quantize makes its own int4 weights');
    if (o.symmetric && o.asymmetric) throw new UserError('--symmetric and --asymmetric exclude each other');
    const { out, overwrite, method, format, groupSize, clip, damping, expertFloor, quantizeHead } = o;
    const { calibration, samples, spread, length, field, heldOut, maxMemory } = o;
    const result = await quantizeCheckpoint(o.model, {
      ...{ out, overwrite, method, format, groupSize, clip, damping, expertFloor, head: quantizeHead },
      symmetric: o.symmetric || (o.asymmetric ? false : undefined),
      ...{ calibration, samples, spread, length, field, texts: o.text, heldOut, maxMemory },
      ...computeOptionsOf(o),
      ...ui.job,
    });
    ui.show(ui.noted(result), describeQuantization);
  },
});
