// Interleaved rounds: each visits every engine once, each time another first, so that a busy moment strikes all alike.
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Seconds for the threads of the engine before to go to sleep. */
const pause = 0.25;

/**
 * Runs `tests` (`{ name: command }`) on all engines. `check` is a command whose answers should agree. A first round, not
 * counted, warms up, unless `warm` says that the check did.
 */
export async function interleave(engines, tests, { rounds, check, say, warm = false }) {
  const children = [];
  try {
    for (const { name, start, checks } of engines) {
      say(`starting ${name}`);
      const child = start();
      children.push({ name, child });
      await child.ready();
      if (check && checks) Object.assign(child.facts, { check: await child.ask(check) });
    }
    const samples = children.map(() => Object.fromEntries(Object.keys(tests).map((test) => [test, []])));
    for (let round = warm ? 1 : 0; round <= rounds; round++) {
      say(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
      for (const [test, command] of Object.entries(tests))
        for (let turn = 0; turn < children.length; turn++) {
          const at = (turn + round) % children.length;
          await new Promise((resolve) => setTimeout(resolve, pause * 1000));
          const measured = await children[at].child.measure(command);
          if (round > 0) samples[at][test].push(measured);
        }
    }
    return children.map(({ name, child }, i) => ({
      name,
      facts: child.facts,
      tests: Object.fromEntries(Object.entries(samples[i]).map(([test, list]) => [test, summary(list)])),
    }));
  } finally {
    for (const { child } of children) child.stop();
  }
}

export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

function summary(list) {
  const samples = list.map(({ rate }) => rate);
  return {
    median: median(samples),
    min: Math.min(...samples),
    max: Math.max(...samples),
    others: median(list.map(({ others }) => others)),
    /** Seconds, of all its threads. */
    processor: median(list.map(({ processor }) => processor)),
    samples,
  };
}

/** How much faster than another engine: the ratio of the medians, and the range of the ratios within single rounds. */
export function ratioOf(engine, other, test) {
  const [a, b] = [engine.tests[test], other.tests[test]];
  const each = a.samples.map((sample, i) => sample / b.samples[i]);
  return { median: a.median / b.median, min: Math.min(...each), max: Math.max(...each) };
}

const named = [
  'avx',
  'avx2',
  'fma',
  'f16c',
  'avx_vnni',
  'avx512f',
  'avx512bw',
  'avx512vl',
  'avx512_vnni',
  'avx512_bf16',
  'amx_int8',
  'asimd',
  'asimddp',
  'i8mm',
];

export function machine() {
  let flags = [];
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8');
    flags = /^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1].trim().split(/\s+/) ?? [];
  } catch {
    // Not on Linux.
  }
  return {
    processor: cpus()[0].model.trim(),
    cores: cpus().length,
    instructionSets: named.filter((name) => flags.includes(name)),
  };
}
