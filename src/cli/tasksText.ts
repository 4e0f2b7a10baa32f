import type { TasksRecord } from '../jobs/index.js';
import type { Metrics } from '../tasks/index.js';
import { table } from './table.js';
import { formatDifference } from './units.js';

/** lm-eval's table; beside another model, what differs; and a paper's average. */
export function describeTasks(record: TasksRecord): string[] {
  const { beside, average } = record;
  return [
    ...resultsTable(record),
    ...(average === undefined ? [] : ['', averageText('average', average)]),
    ...(beside ? ['', `beside ${beside.model}:`, ...differencesTable(record, beside)] : []),
    ...(beside?.average === undefined ? [] : ['', averageText('its average', beside.average)]),
  ];
}

const averageText = (name: string, average: number | null): string =>
  average === null
    ? `${name}: not told, since not all tasks of the preset ran`
    : `${name} of the preset: ${average.toFixed(4)}`;

const isError = (key: string): boolean => key.includes('_stderr,');

/** The keys of what was measured: `acc,none`. */
const measuredKeys = (metrics: Metrics): string[] =>
  Object.keys(metrics)
    .filter((key) => key.includes(',') && !isError(key))
    .sort();

/** Tasks and groups in the order of lm-eval: by name, groups before what they hold, which is set in. */
function listed({ results, group_subtasks: members }: TasksRecord): { name: string; title: string }[] {
  const held = new Set(Object.values(members).flat());
  const below = (name: string, depth: number): { name: string; title: string }[] => [
    { name, title: `${depth ? `${' '.repeat(depth)}- ` : ''}${results[name].alias}` },
    ...[...(members[name] ?? [])].sort().flatMap((member) => below(member, depth + 1)),
  ];
  const top = Object.keys(results).filter((name) => !held.has(name));
  const first = top.filter((name) => name in members).sort();
  return [...first, ...top.filter((name) => !(name in members)).sort()].flatMap((name) => below(name, 0));
}

function resultsTable(record: TasksRecord): string[] {
  const head = ['Tasks', 'Version', 'Filter', 'n-shot', 'Metric', '', 'Value', '', 'Stderr'];
  const rows = listed(record).flatMap(({ name, title }) =>
    measuredKeys(record.results[name]).map((key, i) => {
      const [metric, filter] = key.split(',');
      const error = record.results[name][`${metric}_stderr,${filter}`];
      return [
        i ? '' : title,
        i ? '' : String(record.versions[name]),
        filter,
        String(record['n-shot'][name]),
        metric,
        record.higher_is_better[name][metric] ? '↑' : '↓',
        (record.results[name][key] as number).toFixed(4),
        '±',
        typeof error === 'number' ? error.toFixed(4) : '   N/A',
      ];
    }),
  );
  return markdownTable(head, rows);
}

/** Columns of numbers lie to the right. */
function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const right = head.map((_, c) => rows.every((row) => /^\s*([\d.]+|N\/A)?$/.test(row[c])) && head[c] !== '');
  const widths = head.map((title, c) => Math.max(3, title.length, ...rows.map((row) => row[c].length)));
  const line = (cells: readonly string[], pad: (cell: string, c: number) => string): string =>
    `|${cells.map(pad).join('|')}|`;
  const centered = (cell: string, c: number): string =>
    cell.padStart(Math.floor((widths[c] + cell.length) / 2)).padEnd(widths[c]);
  return [
    line(head, centered),
    line(head, (_, c) => (right[c] ? `${'-'.repeat(widths[c] - 1)}:` : '-'.repeat(widths[c]))),
    ...rows.map((row) => line(row, (cell, c) => (right[c] ? cell.padStart(widths[c]) : cell.padEnd(widths[c])))),
  ];
}

function differencesTable(record: TasksRecord, beside: NonNullable<TasksRecord['beside']>): string[] {
  const rows = listed(record).flatMap(({ name, title }) =>
    measuredKeys(record.results[name]).map((key, i) => {
      const { difference, standardError, gained, lost } = beside.differences[name][key];
      return [
        i ? '' : title,
        key.replace(',none', ''),
        (record.results[name][key] as number).toFixed(4),
        (beside.results[name][key] as number).toFixed(4),
        formatDifference(difference, standardError),
        String(gained),
        String(lost),
      ];
    }),
  );
  return table([['task', 'metric', 'this', 'other', 'difference', 'gained', 'lost'], ...rows]);
}
