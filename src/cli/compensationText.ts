import type { CompensationRecord } from '../drop/index.js';
import { table } from './table.js';
import { formatDifference } from './units.js';

/** What came back, text by text, for people. */
export function describeCompensation({ mode, alpha, refits, leftAlone, losses }: CompensationRecord): string[] {
  const fixed = (loss: number): string => loss.toFixed(4);
  const rows = losses.map(({ name, rows, whole, dropped, refit, difference, standardError, recovered }) => [
    `${name} (${rows} rows)`,
    fixed(whole),
    fixed(dropped),
    fixed(refit),
    formatDifference(difference, standardError),
    recovered === null ? '' : `${(100 * recovered).toFixed(1)}%`,
  ]);
  return [
    `refit ${refits.length} output projections (${mode}, alpha ${alpha})`,
    ...(leftAlone.length
      ? [
          `nothing right before these to make up for them: ${leftAlone.map(({ layer, kind }) => `${kind === 'mlp' ? 'MLP' : kind} ${layer}`).join(', ')}`,
        ]
      : []),
    ...(rows.length
      ? ['', ...table([['loss on', 'whole', 'dropped', 'refit', 'difference', 'given back'], ...rows])]
      : []),
    '',
  ];
}
