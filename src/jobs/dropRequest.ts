import { dropMethod, needsText, type CompensationMode, type DropMethod, type MethodRequest } from '../drop/index.js';
import { UserError } from '../engine/index.js';
import type { Drops, Quantize } from '../models/index.js';

/** What to drop: named, or chosen by scores that are there or by a method. */
export interface DropRequest extends Partial<MethodRequest> {
  /** The modules themselves, beside what the model had dropped before. */
  readonly drops?: Partial<Drops>;
  readonly importance?: unknown;
  readonly calibration?: readonly string[];
  readonly compensate?: CompensationMode;
  readonly alpha?: number;
  readonly configOnly?: boolean;
  readonly adapter?: string;
  readonly quantize?: Quantize;
}

/** How modules are chosen; undefined where they are named. UserError for what does not go together. */
export function checkedDrop(o: DropRequest): DropMethod | undefined {
  const method = checkedChoice(o);
  checkCompensation(o);
  if (o.configOnly && o.adapter !== undefined)
    throw new UserError('`adapter` is merged into weights, of which `configOnly` writes none');
  return method;
}

function checkedChoice(o: DropRequest): DropMethod | undefined {
  const named = o.drops?.attention !== undefined || o.drops?.mlp !== undefined;
  if (named) {
    if (o.target !== undefined || o.count !== undefined || o.importance !== undefined || o.keep !== undefined)
      throw new UserError(
        '`drops.attention` and `drops.mlp` say what to drop, so `target`, `count`, `importance` and `keep` do not go with them',
      );
    refuseGiven(o, '`drops.attention` or `drops.mlp` says what to drop', [
      'metric',
      'search',
      'iterations',
      'consecutive',
      'compat',
      'seed',
    ]);
    return undefined;
  }
  const { target, count, metric, search, iterations, consecutive, compat, seed, keep } = o;
  if (target === undefined || count === undefined)
    throw new UserError('what to drop is not said', {
      hint: 'give `target` and `count`, or `drops.attention` or `drops.mlp`',
    });
  const method = dropMethod({ target, count, metric, search, iterations, consecutive, compat, seed, keep });
  if (o.importance !== undefined)
    refuseGiven(o, '`importance` holds scores that were made before', ['metric', 'search', 'iterations', 'seed']);
  else if (!o.calibration && method.search !== 'score')
    throw new UserError(`\`search\` ${method.search} needs \`calibration\` with a text`);
  else if (!o.calibration && needsText(method))
    throw new UserError('choosing what to drop needs scores', {
      hint: 'give `calibration` with a text, or `importance` with the scores from llm-drop score --out',
    });
  return method;
}

/** Refuses options that do not go with something, in one sentence. */
export function refuseGiven<K extends string>(
  o: { readonly [name in K]?: unknown },
  reason: string,
  names: readonly K[],
): void {
  const given = names.filter((name) => o[name] !== undefined && o[name] !== false).map((name) => `\`${name}\``);
  if (given.length)
    throw new UserError(`${reason}, so ${given.join(' and ')} ${given.length > 1 ? 'do' : 'does'} not go with it`);
}

function checkCompensation(o: DropRequest): void {
  if (!o.compensate) {
    if (o.alpha !== undefined) throw new UserError('`alpha` says how `compensate` refits, which is not given');
    return;
  }
  if (o.quantize)
    throw new UserError('a refit needs the weights as they are stored, so `quantize` does not go with it', {
      hint: 'compensate first, and run the result with `quantize`',
    });
  if (!o.calibration)
    throw new UserError('a refit is fitted on a text', { hint: 'give `calibration` beside `compensate`' });
  if (o.configOnly) throw new UserError('`compensate` writes weights, so `configOnly` does not go with it');
}
