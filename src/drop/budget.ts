import { UserError, shownName, shownValue } from '../engine/index.js';

/** What a budget limits: the time of a decoded token, parameters, or key-value bytes of a token. */
export type BudgetKind = 'decode' | 'parameters' | 'kv';

export interface Budget {
  readonly kind: BudgetKind;
  /** Seconds a token, parameters, or bytes a token; or a share of the whole model's. */
  readonly most: number;
  readonly relative: boolean;
  /** As it was written. */
  readonly text: string;
}

/** What a point costs, in a budget's terms. */
export interface Cost {
  readonly parameters: number;
  readonly kvBytesPerToken: number;
  /** null where no speed was measured. */
  readonly tokensPerSecond: number | null;
  /** Over the whole model's speed at the same moment. */
  readonly speedup?: number | null;
}

const units: Readonly<Record<BudgetKind, Readonly<Record<string, number>>>> = {
  decode: { s: 1, ms: 1e-3, us: 1e-6 },
  parameters: { k: 1e3, M: 1e6, B: 1e9 },
  kv: { B: 1, kB: 1e3, MB: 1e6, KiB: 1024, MiB: 1024 ** 2 },
};

/** `decode=0.8`, `parameters=100M`, `kv=12kB`; several parted by commas, all of which must hold. */
export function parseBudgets(text: string): Budget[] {
  return text.split(',').map((entry) => parseBudget(entry.trim()));
}

function parseBudget(text: string): Budget {
  const match = /^(decode|parameters|kv)=(\d+(?:\.\d+)?|\.\d+) ?([a-zA-Z]*)$/.exec(text);
  const kind = match?.[1] as BudgetKind | undefined;
  const fail = (problem: string): never => {
    throw new UserError(`the budget ${shownValue(text)} ${problem}`, {
      hint: 'write decode=0.8, parameters=0.7 or kv=0.5, or with units decode=20ms, parameters=100M, kv=12kB',
    });
  };
  if (!match || !kind) return fail('is not understood');
  const [number, unit] = [Number(match[2]), match[3]];
  if (unit === '') {
    if (!(number > 0 && number <= 1)) fail('is a share of the whole model without a unit, so it must be within 0 to 1');
    return { kind, most: number, relative: true, text };
  }
  if (!Object.hasOwn(units[kind], unit))
    fail(`has the unit ${shownName(unit)}, but ${kind} knows ${Object.keys(units[kind]).join(', ')}`);
  return { kind, most: number * units[kind][unit], relative: false, text };
}

/** Whether a point keeps to the budget; where nothing was measured, it does not. */
export function keepsTo({ kind, most, relative }: Budget, point: Cost, whole: Cost): boolean {
  if (kind === 'decode') {
    const rate = relative ? point.speedup : point.tokensPerSecond;
    return !!rate && 1 / rate <= most;
  }
  const cost = ({ parameters, kvBytesPerToken }: Cost): number =>
    kind === 'parameters' ? parameters : kvBytesPerToken;
  return cost(point) <= (relative ? most * cost(whole) : most);
}

/** Of the points that keep to all budgets, that of the smallest loss; of equals, the first. */
export function withinBudget<P extends Cost & { readonly loss: number }>(
  points: readonly P[],
  whole: Cost,
  budgets: readonly Budget[],
): P | undefined {
  return points
    .filter((point) => budgets.every((budget) => keepsTo(budget, point, whole)))
    .reduce<P | undefined>((best, point) => (best && best.loss <= point.loss ? best : point), undefined);
}
