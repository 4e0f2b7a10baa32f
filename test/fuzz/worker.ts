/** Reads mutants, one after the other, and tells of each what became of it. A child process of `watch.ts`. */
import { rmSync } from 'node:fs';
import { resourceUsage } from 'node:process';
import { setTimeout } from 'node:timers/promises';
import { errorText } from '../../src/cli/errorText.js';
import { makeMutant, targets, writeMutant, type Mutant } from './mutant.js';
import { limits, type Order, type Report } from './watch.js';

const tell = (report: Report): Promise<void> => new Promise((told) => process.send!(report, () => told()));

/** What a mutant must not do; undefined where it was read or refused as it should be. */
async function escapeOf({ target }: Mutant, folder: string): Promise<{ escape?: string; refused: boolean }> {
  const before = { cpu: process.cpuUsage(), memory: resourceUsage().maxRSS };
  let escape: string | undefined;
  let refused = false;
  try {
    const numbers = Array.from((await target.read(folder)) ?? []);
    if (!numbers.every(Number.isFinite)) escape = 'numbers that are not finite';
  } catch (error) {
    refused = true;
    const line = errorText(error);
    if (line.includes('(unexpected')) escape = (error as Error | undefined)?.stack ?? line;
    else if (line.length > limits.message) escape = `a message of ${line.length} characters: ${line.slice(0, 200)}`;
  }
  const { user } = process.cpuUsage(before.cpu);
  if (user > limits.seconds * 1e6) escape ??= `${(user / 1e6).toFixed(1)} seconds`;
  const { maxRSS } = resourceUsage();
  if (maxRSS > limits.kilobytes && before.memory <= limits.kilobytes) escape ??= `${Math.round(maxRSS / 1024)} MB`;
  return { escape, refused };
}

async function readAll({ seed, first, end, step, names, folder, keep }: Order): Promise<void> {
  const of = names.length ? targets.filter(({ name }) => names.includes(name)) : targets;
  for (let number = first; number < end; number += step) {
    const mutant = await makeMutant(seed, number, of);
    await tell({ number, target: mutant.target.name, changed: mutant.changed });
    writeMutant(mutant, folder);
    const { escape, refused } = await escapeOf(mutant, folder);
    // What was left to fail by itself fails here, and ends the process.
    await setTimeout(1);
    await tell({ number, target: mutant.target.name, changed: mutant.changed, refused, escape });
  }
  if (!keep) rmSync(folder, { recursive: true, force: true });
  process.exit(0);
}

process.once('message', (order: Order) => void readAll(order));
