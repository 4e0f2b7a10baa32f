/**
 * Reads mutants of every file that the tool reads, and tells what escaped: a crash, a hang, too much memory, numbers that
 * are not finite, an error that the command line would call unexpected.
 *
 *   npx tsx test/fuzz/run.ts --seed 1 --count 100000 --processes 2
 *   npx tsx test/fuzz/run.ts --seed 1 --only 4711 --keep /tmp/mutant     one again, whose files stay
 *
 * Exits with 1 where something escaped.
 */
import { parseArgs } from 'node:util';
import { targets } from './mutant.js';
import { watch } from './watch.js';

const { values: o } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    first: { type: 'string', default: '0' },
    count: { type: 'string', default: '1000' },
    only: { type: 'string' },
    keep: { type: 'string' },
    processes: { type: 'string', default: '2' },
    /** Targets, parted by commas. The same number is another mutant where there are other targets. */
    targets: { type: 'string', default: '' },
  },
});

const names = o.targets.split(',').filter(Boolean);
const unknown = names.find((name) => !targets.some((target) => target.name === name));
if (unknown !== undefined) throw new Error(`no target ${unknown}: ${targets.map(({ name }) => name).join(', ')}`);
const first = Number(o.only ?? o.first);
const again = `npx tsx test/fuzz/run.ts --seed ${o.seed}${o.targets && ` --targets '${o.targets}'`} --only`;
const start = performance.now();
const { counts, escapes } = await watch({
  seed: Number(o.seed),
  names,
  first,
  end: o.only === undefined ? first + Number(o.count) : first + 1,
  processes: o.only === undefined ? Number(o.processes) : 1,
  keepIn: o.keep,
  onEscape: ({ number, target, changed, escape }) =>
    console.log(`\n${target}, ${changed}: ${escape}\n  ${again} ${number}`),
});
console.log();
for (const [target, { mutants, refused }] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  console.log(`${target.padEnd(28)} ${String(mutants).padStart(7)} mutants, ${String(refused).padStart(7)} refused`);
const seconds = ((performance.now() - start) / 1000).toFixed(0);
const all = [...counts.values()].reduce((sum, { mutants }) => sum + mutants, 0);
console.log(`seed ${o.seed}: ${all} mutants in ${seconds} s, ${escapes.length} escaped`);
process.exitCode = escapes.length ? 1 : 0;
