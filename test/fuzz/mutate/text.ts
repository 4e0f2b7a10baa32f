import type { Random } from '../random.js';
import { oddNumbers, oddTexts } from './odd.js';

/** What has a meaning in templates, lists of layers, merges, records. */
const words: readonly string[] = [
  ...['{{', '}}', '{%', '%}', '{% for i in range(99999999) %}', '{% endfor %}', "{{ raise_exception('x') }}", '{#'],
  ...['{{ messages * 9999 }}', '{{ namespace() }}', '{% set x = [] %}', '{{ [1] | tojson }}', '{{ messages[0].x.y }}'],
  ...[',', '-', '3-', '0-99999', '1-1', ':', '"', "'", '\\', '[', ']', '{', '}', '#version', ' ', '\t', '\r', '\n'],
  ...['<|endoftext|>', '</s>', '\u0000', '\u00a0', '𝒳'],
];

type Change = (random: Random, text: string) => string;

const changes: readonly Change[] = [
  // A part gone, twice, or elsewhere.
  (random, text) => {
    const [at, length] = [random.below(text.length + 1), 1 + random.below(random.pick([1, 4, 100]))];
    return text.slice(0, at) + text.slice(at + length);
  },
  (random, text) => {
    const [at, length] = [random.below(text.length + 1), 1 + random.below(20)];
    const part = text.slice(at, at + length);
    return text.slice(0, at) + part.repeat(random.pick([2, 2, 50])) + text.slice(at + length);
  },
  // Something odd in it.
  (random, text) => {
    const at = random.below(text.length + 1);
    const odd = random.pick([
      random.pick(words),
      random.pick(words),
      random.pick(oddTexts),
      String(random.pick(oddNumbers)),
    ]);
    return text.slice(0, at) + odd + text.slice(at + random.pick([0, 0, 1, 5]));
  },
  // Cut off.
  (random, text) => text.slice(0, random.below(text.length + 1)),
  // Lines in another order, or with other ends.
  (random, text) => {
    const lines = text.split('\n');
    const [a, b] = [random.below(lines.length), random.below(lines.length)];
    [lines[a], lines[b]] = [lines[b], lines[a]];
    if (random.chance(0.3)) lines.splice(a, 1);
    return lines.join(random.pick(['\n', '\n', '\r\n', '\r', '']));
  },
  // A number in it is another.
  (random, text) => {
    const numbers = [...text.matchAll(/-?\d+(?:\.\d+)?/g)];
    if (!numbers.length) return `${text}${random.pick(oddNumbers)}`;
    const { 0: found, index } = random.pick(numbers);
    return text.slice(0, index) + String(random.pick(oddNumbers)) + text.slice(index + found.length);
  },
];

export function mutateText(random: Random, text: string): string {
  for (let count = random.pick([1, 1, 2, 4]); count > 0; count--) text = random.pick(changes)(random, text);
  return text;
}
