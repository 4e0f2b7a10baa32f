import { host } from '../engine/hosts/index.js';
import { mean } from '../evaluate/index.js';
import { PythonRandom } from './pythonRandom.js';

/** Draws of one generator, each of which has the number of its thousand for a seed: so lm-eval draws. */
const draws = 1000;

/**
 * The standard error of exp(-mean) of some log-likelihoods, as lm-eval finds it: the sample deviation over `times` (a
 * multiple of 1000) samples of the same size, drawn with replacement.
 */
export async function bootstrapPerplexityError(
  values: readonly number[],
  times = 100_000,
  signal?: AbortSignal,
): Promise<number> {
  const numbers = Float64Array.from(values);
  const found: number[] = [];
  for (let seed = 0; seed < times / draws; seed++) {
    const random = new PythonRandom(seed);
    for (let draw = 0; draw < draws; draw++) {
      let sum = 0;
      for (let i = 0; i < numbers.length; i++) sum += numbers[random.place(numbers.length)];
      found.push(Math.exp(-sum / numbers.length));
    }
    await host.nextTurn(); // lets timers, signals and progress have their turn
    signal?.throwIfAborted();
  }
  const center = mean(found);
  return Math.sqrt(found.reduce((sum, value) => sum + (value - center) ** 2, 0) / (found.length - 1));
}
