import {
  expertCriteria,
  metricNames,
  targets,
  type ExpertCriterion,
  type MetricName,
  type Target,
} from '../../drop/index.js';
import { dropExperts, dropModules } from '../../jobs/index.js';
import { calibrationOptions, heldOutOption } from '../calibration.js';
import { command, loadOptionsOf } from '../command.js';
import { compensationOptions, refuseRounded } from '../compensation.js';
import { methodOptions, singleDropOptions } from '../dropOptions.js';
import { describeDrop } from '../dropText.js';
import { choice, dropOptions, files, flag, int, overwriteOption, requiredText, text } from '../options.js';

const options = {
  out: requiredText('folder to write the smaller model to', 'dir'),
  target: choice<Target | 'expert'>('what to drop; joint ranks attentions and MLPs together', [...targets, 'expert']),
  count: int('how many of the target; of experts, in each layer', 0),
  calibration: files('text to score on, and behind those rows to measure the loss on'),
  importance: text('scores from score --out in place of scoring again', 'file'),
  ...methodOptions,
  metric: choice<MetricName | ExpertCriterion>(
    `what to score by (default: cosine); of experts ${expertCriteria.join(', ')} (default: ${expertCriteria[0]})`,
    [...new Set([...metricNames, ...expertCriteria])],
  ),
  ...singleDropOptions,
  ...dropOptions,
  ...calibrationOptions,
  heldOut: heldOutOption,
  ...compensationOptions,
  configOnly: flag('write config.json and the side files only, to lay over the original folder'),
  overwrite: overwriteOption,
};

export const drop = command('drop', 'Write a model without its most redundant modules', {
  description:
    'Which modules go is decided by scores, made here on --calibration or read from --importance, by a greedy --search ' +
    'on --calibration, or by explicit lists. What the model had dropped before stays dropped. With --calibration, the loss before and after is measured on rows ' +
    'that the scores have not seen. The folder appears complete or not at all.\n\n' +
    '--target expert takes --count experts of each layer of a mixture, those that matter least to the calibration text, and ' +
    'their rows of the router: what is left is a smaller mixture that any engine runs.',
  options,
  renamed: { 'drops.attention': 'dropAttn', 'drops.mlp': 'dropMlp', quantize: 'int4' },
  examples: [
    ['drop Llama-3.2-1B --calibration c4.jsonl --target attention --count 4 --out smaller', 'score, drop, measure'],
    [
      'drop Llama-3.2-1B --importance importance.json --target joint --count 6 --keep 0,15 --out smaller',
      'from scores, the first and last layer kept whole',
    ],
    [
      'drop Llama-3.2-1B --calibration c4.jsonl --target block --count 4 --consecutive --out smaller',
      'the four blocks in a row whose ends are most alike',
    ],
    [
      'drop Llama-3.2-1B --calibration c4.jsonl wiki.txt --samples 4 --search greedy-kl --target attention --count 4 --out smaller',
      'one by one, by what their absence does to the output',
    ],
    [
      'drop Qwen3-30B-A3B --calibration c4.jsonl --target expert --count 32 --out smaller',
      'of each layer the 32 experts that add least',
    ],
    ['drop Llama-3.2-1B --drop-attn 10-13 --drop-mlp 12 --out smaller', 'these modules, whatever their scores'],
    [
      'drop Llama-3.2-1B --calibration c4.jsonl --samples 16 --length 512 --target attention --count 4 --compensate all --out smaller',
      'what stays is refit to do part of what went',
    ],
  ],
  run: async (o, ui) => {
    const { target, count, metric, search, iterations, consecutive, compat, seed, keep, importance } = o;
    const { calibration, samples, spread, length, field, heldOut, compensate, alpha, out, configOnly, overwrite } = o;
    if (compensate) refuseRounded(o);
    const given = {
      ...{ count, search, iterations, consecutive, compat, seed, keep, importance },
      ...{ calibration, samples, spread, length, field, heldOut, compensate, alpha, out, configOnly, overwrite },
      ...loadOptionsOf(o),
      drops: { attention: o.dropAttn, mlp: o.dropMlp },
      ...ui.job,
    };
    // Each refuses the other's metrics, and that there is no count.
    const result =
      target === 'expert'
        ? await dropExperts(o.model, { ...given, count: count!, metric: metric as ExpertCriterion })
        : await dropModules(o.model, { ...given, target, metric: metric as MetricName });
    ui.show(ui.noted(result), describeDrop);
  },
});
