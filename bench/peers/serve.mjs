// The child's side: one JSON line out when ready, then one for each command line in.
import { createInterface } from 'node:readline';

/** `facts` say what runs; each of `measures` answers `NAME ARGUMENT...` with a rate or an object. */
export async function serve(facts, measures) {
  const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
  say({ ...facts, node: process.versions.node });
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, ...given] = line.split(' ');
    if (name === 'quit') break;
    try {
      const answer = await measures[name](...given);
      say(typeof answer === 'number' ? { rate: answer } : answer);
    } catch (error) {
      say({ error: String(error?.stack ?? error) });
    }
  }
  process.exit(0);
}

/** The median seconds of `run`, called for a while. */
export async function secondsOf(run, { least = 5, milliseconds = 400 } = {}) {
  const samples = [];
  const end = performance.now() + milliseconds;
  while (samples.length < least || performance.now() < end) {
    const start = performance.now();
    await run();
    samples.push((performance.now() - start) / 1000);
  }
  return samples.sort((a, b) => a - b)[samples.length >> 1];
}

/** Numbers of either sign, the same in every run. */
export const values = (count) => Float32Array.from({ length: count }, (_, i) => ((i * 2654435761) % 2000) / 1000 - 1);
