import { basename } from 'node:path';
import { modelName } from '../checkpoint/index.js';
import { withinBudget, type Budget, type SweepPoint, type SweepResult } from '../drop/index.js';

/** What fits a budget and loses least, and the command that makes it. */
export interface SweepChoice {
  readonly budget: string;
  readonly point: SweepPoint;
  readonly command: string;
}

/** null where nothing that was measured fits. */
export function chooseWithin(result: SweepResult, budgets: readonly Budget[], model: string): SweepChoice | null {
  const point = withinBudget(result.points, result.whole, budgets);
  if (!point) return null;
  const budget = budgets.map(({ text }) => text).join(',');
  return { budget, point, command: dropCommand(model, point) };
}

/** The command line of llm-drop that writes a point's model. */
function dropCommand(model: string, { target, count, drops }: SweepPoint): string {
  const out = `${basename(modelName(model))}-${target}-${count}`;
  const [attention, mlp] = [drops.attention.join(','), drops.mlp.join(',')];
  return `llm-drop drop ${quoted(model)}${attention && ` --drop-attn ${attention}`}${mlp && ` --drop-mlp ${mlp}`} --out ${quoted(out)}`;
}

/** A word, quoted for a shell where it needs that. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`);
