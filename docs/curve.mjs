// The table and the picture of what docs/curve.sh has left in a folder: node docs/curve.mjs FOLDER [PICTURE.svg]
// A sweep is a line, named as its file; files that differ in a number at the end (random-1, random-2) are one line, their
// mean, with a bar from the least to the most.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const [folder, picture] = process.argv.slice(2);
const sweeps = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => ({
    name: name.replace(/(-\d+)?\.json$/, ''),
    ...JSON.parse(readFileSync(join(folder, name), 'utf8')),
  }));
const texts = sweeps[0].whole.texts.map(({ name }) => name);
const counts = [...new Set(sweeps.flatMap(({ points }) => points.map(({ count }) => count)))].sort((a, b) => a - b);

/** Losses less the whole model's, in nats a token, of all sweeps of a name: [text][count] -> values. */
const values = (name, text, count) =>
  sweeps
    .filter((sweep) => sweep.name === name)
    .flatMap(({ whole, points }) =>
      points.filter((point) => point.count === count).map((point) => point.texts[text].loss - whole.texts[text].loss),
    );
const mean = (numbers) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
const order = ['greedy-loss', 'greedy-kl', 'cosine', 'gate-norm', 'random'];
const rank = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
const methods = [...new Set(sweeps.map(({ name }) => name))].sort((a, b) => rank(a) - rank(b));

// The table: losses, the least of each column in bold.
const cells = methods.map((name) => texts.flatMap((_, text) => counts.map((count) => values(name, text, count))));
const least = cells[0].map((_, column) =>
  Math.min(...cells.map((row) => (row[column].length ? mean(row[column]) : Infinity))),
);
const row = (...columns) => console.log(`| ${columns.join(' | ')} |`);
const { whole } = sweeps[0];
row('method', ...texts.flatMap((_, text) => counts.map((count) => `${basename(texts[text])}, ${count}`)));
row('---', ...least.map(() => '---'));
for (const [i, name] of methods.entries())
  row(
    name,
    ...cells[i].map((numbers, column) => {
      if (numbers.length === 0) return '';
      const loss = whole.texts[Math.floor(column / counts.length)].loss + mean(numbers);
      const shown = mean(numbers) === least[column] ? `**${loss.toFixed(3)}**` : loss.toFixed(3);
      const spread = (Math.max(...numbers) - Math.min(...numbers)) / 2;
      return numbers.length > 1 ? `${shown} ± ${spread.toFixed(2)}` : shown;
    }),
  );
console.log(
  `\nWhole: ${whole.texts.map((text) => `${basename(text.name)} ${text.loss.toFixed(4)}, ${text.rows} rows`).join('; ')}`,
);
for (const { name, points, seed } of sweeps)
  for (const { count, drops } of points)
    console.log(`${name}${seed === null ? '' : ` (seed ${seed})`}, ${count}: ${drops.attention.join(', ')}`);

if (picture) writeFileSync(picture, svg());

/** Panels side by side, one a text; the loss that a drop costs against how many went, on a logarithmic scale. */
function svg() {
  const [panelWidth, panelHeight, left, top, gap] = [360, 300, 62, 74, 62];
  const width = left + texts.length * panelWidth + (texts.length - 1) * gap + 20;
  const height = top + panelHeight + 52;
  const all = cells.flat(2).filter((cost) => cost > 0);
  const [low, high] = [Math.min(...all) / 1.15, Math.max(...all) * 1.15];
  const ticks = [-3, -2, -1, 0, 1]
    .flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power))
    .filter((tick) => tick >= low && tick <= high);
  const y = (value) => top + panelHeight * (Math.log(high / Math.max(value, low)) / Math.log(high / low));
  const span = counts[counts.length - 1] - counts[0] || 1;
  const x = (text, count) => left + text * (panelWidth + gap) + 24 + ((panelWidth - 48) * (count - counts[0])) / span;
  const ink = ['#009e73', '#0072b2', '#d55e00', '#cc79a7', '#808080', '#000000'];
  const at = (number) => number.toFixed(1);

  const frame = texts.map((name, text) => {
    const start = left + text * (panelWidth + gap);
    return [
      `<text x="${start}" y="${top - 12}" font-weight="bold">${basename(name)}</text>`,
      ...ticks.map(
        (tick) =>
          `<path d="M${start} ${at(y(tick))}h${panelWidth}" stroke="#e4e4e4"/>` +
          `<text x="${start - 8}" y="${at(y(tick) + 4)}" text-anchor="end">${Number(tick.toPrecision(1))}</text>`,
      ),
      ...counts.map(
        (count) => `<text x="${at(x(text, count))}" y="${top + panelHeight + 20}" text-anchor="middle">${count}</text>`,
      ),
      `<rect x="${start}" y="${top}" width="${panelWidth}" height="${panelHeight}" fill="none" stroke="#999"/>`,
      `<text x="${start + panelWidth / 2}" y="${top + panelHeight + 42}" text-anchor="middle">${sweeps[0].points[0].target}s dropped</text>`,
    ].join('\n');
  });
  const lines = methods.flatMap((name) =>
    texts.map((_, text) => {
      const there = counts.filter((count) => values(name, text, count).length);
      const color = ink[rank(name)];
      const points = there.map((count) => [at(x(text, count)), at(y(mean(values(name, text, count))))]);
      const bars = there.map((count) => {
        const found = values(name, text, count);
        return found.length > 1
          ? `<path d="M${at(x(text, count))} ${at(y(Math.max(...found)))}V${at(y(Math.min(...found)))}" stroke="${color}"/>`
          : '';
      });
      return [
        `<polyline points="${points.map((point) => point.join(',')).join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>`,
        ...points.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3.5" fill="${color}"/>`),
        ...bars,
      ].join('');
    }),
  );
  const legend = methods.map((name, i) => {
    const start = left + i * 118;
    const color = ink[rank(name)];
    return (
      `<path d="M${start} 32h20" stroke="${color}" stroke-width="2"/><circle cx="${start + 10}" cy="32" r="3.5" fill="${color}"/>` +
      `<text x="${start + 26}" y="36">${name}</text>`
    );
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${left - 46}" y="14">Loss more than the whole model’s, nats a token</text>`,
    ...legend,
    ...frame,
    ...lines,
    '</svg>\n',
  ].join('\n');
}
