// A run as Markdown.
import { ratioOf } from './rounds.mjs';

export const digits = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

export const table = (head, rows) =>
  [head, head.map((_, i) => (i ? '---:' : '---')), ...rows].map((cells) => `| ${cells.join(' | ')} |`);

export const describeMachine = ({ processor, cores, instructionSets }) =>
  `${processor}, ${cores} cores (${instructionSets.join(', ')})`;

/** Rates of all engines, and how many times as fast as `over` each is. */
export function runTable(run) {
  const { engines, tests, over, unit } = run;
  const base = engines.find(({ name }) => name === over) ?? engines[0];
  const head = [
    'engine',
    ...Object.keys(tests).flatMap((test) => [`${test}, ${unit}`, 'min to max', `over ${base.name}`, 'others busy']),
  ];
  const rows = engines.map((engine) => [
    engine.name,
    ...Object.keys(tests).flatMap((test) => {
      const { median, min, max, others } = engine.tests[test];
      const ratio = ratioOf(engine, base, test);
      return [
        digits(median),
        `${digits(min)} to ${digits(max)}`,
        `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)})`,
        others.toFixed(2),
      ];
    }),
  ]);
  return table(head, rows);
}

/** What a table's numbers are. */
export function runNotes(run) {
  const { model, threads, rounds, kv, date } = run;
  return [
    `${model}, ${threads} threads${kv ? `, ${kv} keys and values` : ''}, ${rounds} interleaved rounds, ${date.slice(0, 16).replace('T', ' ')}. ` +
      'Medians; over: the ratio of medians (its range within single rounds); others busy: processors that other ' +
      'programs used meanwhile; likeliest: the next token after a fixed text, and its logit.',
    run.engines.map(({ name, facts }) => `${name}: ${factsText(facts)}`).join('; ') + '.',
  ];
}

export const factsText = ({ name: _, check, weightBytes, peakBytes, ...facts }) =>
  [
    ...Object.entries(facts).map(([key, value]) => `${key} ${String(value).trim()}`),
    ...(check ? [`likeliest ${check.token} (${check.logit.toFixed(4)})`] : []),
    ...(weightBytes
      ? [`weights ${Math.round(weightBytes / 2 ** 20)} MiB`, `peak ${Math.round(peakBytes / 2 ** 20)} MiB`]
      : []),
  ].join(', ');

/** A Markdown text with `lines` between its two marks. */
export function fillBetween(text, marks, lines) {
  const [from, to] = marks.map((mark) => text.indexOf(mark));
  if (from < 0 || to < from) throw new Error(`the file has no '${marks[0]}' followed by '${marks[1]}'`);
  return `${text.slice(0, from)}${[marks[0], '', ...lines, '', ''].join('\n')}${text.slice(to)}`;
}

export const runMarkdown = (run) => [`### ${run.title}`, '', ...runTable(run), '', ...runNotes(run)];
