/**
 * Runs the tests and prints how much of each folder of src they execute: `npm run coverage [-- VITEST ARGUMENTS]`.
 * What runs in other processes (the built command line) and in the threads of the wasm backend is not seen.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'llm-drop-coverage-'));
const { status } = spawnSync(
  'npx',
  [
    ...[
      'vitest',
      'run',
      '--coverage',
      '--coverage.provider=v8',
      '--coverage.include=src/**/*.ts',
      '--coverage.reporter=json-summary',
    ],
    ...['--coverage.reportOnFailure', `--coverage.reportsDirectory=${folder}`, ...process.argv.slice(2)],
  ],
  { stdio: 'inherit' },
);
const summary = JSON.parse(readFileSync(join(folder, 'coverage-summary.json'), 'utf8'));
rmSync(folder, { recursive: true });

const kinds = ['statements', 'branches', 'functions', 'lines'];
const folders = new Map();
for (const [file, counts] of Object.entries(summary)) {
  if (counts.statements.total === 0) continue;
  const name = file === 'total' ? 'total' : dirname(relative(process.cwd(), file));
  const sums = folders.get(name) ?? kinds.map(() => ({ covered: 0, total: 0 }));
  kinds.forEach((kind, i) => {
    sums[i].covered += counts[kind].covered;
    sums[i].total += counts[kind].total;
  });
  folders.set(name, sums);
}
const rows = [
  ['folder', ...kinds],
  ...[...folders]
    .sort(([a], [b]) => (a === 'total') - (b === 'total') || (a < b ? -1 : 1))
    .map(([name, sums]) => [name, ...sums.map(share)]),
];
const width = Math.max(...rows.map(([name]) => name.length));
for (const [name, ...cells] of rows) console.log(name.padEnd(width), ...cells.map((cell) => cell.padStart(20)));
process.exitCode = status ?? 1;

/** `81.3 % of 1234` */
function share({ covered, total }) {
  return total ? `${((100 * covered) / total).toFixed(1)} % of ${total}` : '';
}
