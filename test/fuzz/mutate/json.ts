import type { Random } from '../random.js';
import { oddNumbers, oddTexts } from './odd.js';
import { mutateText } from './text.js';

/** Stands in a tree for JSON text that no value makes: 1e999, nesting beyond the stack. */
const rawMark = '\u0001raw ';
const raw = (text: string): string => rawMark + text;

const oddNumber = (number: number): unknown =>
  Number.isFinite(number) ? number : raw(number > 0 ? '1e999' : '-1e999');

function oddValue(random: Random): unknown {
  const kind = random.below(14);
  if (kind < 5) return oddNumber(random.pick(oddNumbers));
  if (kind < 8) return random.pick(oddTexts);
  const depth = random.pick([3, 200, 5000, 20_000]);
  return [
    () => null,
    () => random.chance(0.5),
    () => [],
    () => ({}),
    () =>
      raw(random.chance(0.5) ? '['.repeat(depth) + ']'.repeat(depth) : '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)),
    () => Array.from({ length: random.pick([1, 3, 1000]) }, () => oddNumber(random.pick(oddNumbers))),
  ][kind - 8]();
}

type Holder = Record<string | number, unknown>;
interface Place {
  readonly holder: Holder;
  readonly key: string | number;
}

const isHolder = (value: unknown): value is Holder => typeof value === 'object' && value !== null;

/** A place in a tree: going down, and staying at each level with some chance. */
function place(random: Random, root: Holder): Place | undefined {
  let found: Place | undefined;
  for (let holder = root; ;) {
    const keys = Array.isArray(holder) ? holder.length : Object.keys(holder);
    const count = typeof keys === 'number' ? keys : keys.length;
    if (count === 0) return found;
    const at = random.below(count);
    found = { holder, key: typeof keys === 'number' ? at : keys[at] };
    const value = holder[found.key];
    if (!isHolder(value) || random.chance(0.25)) return found;
    holder = value;
  }
}

const changes: readonly ((random: Random, at: Place, root: Holder) => void)[] = [
  // Another value.
  (random, { holder, key }) => (holder[key] = oddValue(random)),
  (random, { holder, key }) => (holder[key] = oddValue(random)),
  // Gone.
  (_, { holder, key }) => {
    if (Array.isArray(holder)) holder.splice(Number(key), 1);
    else delete holder[key];
  },
  // Another name, or beside it a key more.
  (random, { holder, key }) => {
    const value = holder[key];
    if (Array.isArray(holder)) return void holder.splice(Number(key), 0, value);
    if (random.chance(0.7)) delete holder[key];
    const name = random.pick([String(key).toUpperCase(), String(key).slice(1), `${key}s`, ...oddTexts]);
    Object.defineProperty(holder, name, { value, enumerable: true, configurable: true, writable: true });
  },
  // Of another type.
  (_, { holder, key }) => {
    const value = holder[key];
    holder[key] = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.length : [value];
  },
  // Deeper, or less deep.
  (random, { holder, key }) => {
    const value = holder[key];
    if (isHolder(value) && random.chance(0.5)) holder[key] = Object.values(value)[0];
    else holder[key] = random.chance(0.5) ? [value] : { [random.pick(['a', 'type', 'id'])]: value };
  },
  // What stands elsewhere.
  (random, { holder, key }, root) => {
    const other = place(random, root)!;
    holder[key] = structuredClone(other.holder[other.key]);
  },
  // A little off.
  (random, { holder, key }) => {
    const value = holder[key];
    if (typeof value === 'number') holder[key] = random.pick([value + 1, value - 1, value * 2, -value, value + 0.5]);
    else if (typeof value === 'string') holder[key] = mutateText(random, value);
    else if (typeof value === 'boolean') holder[key] = !value;
    else if (Array.isArray(value)) holder[key] = [...(value as unknown[]), ...(value as unknown[])].slice(0, 100_000);
  },
];

/** JSON with some of its tree changed; now and then the text itself. */
export function mutateJson(random: Random, text: string): string {
  if (random.chance(0.1)) return mutateText(random, text);
  if (random.chance(0.02)) return written(oddValue(random));
  const root = JSON.parse(text) as Holder;
  for (let count = random.pick([1, 1, 1, 2, 3]); count > 0; count--) {
    const at = place(random, root);
    if (at) random.pick(changes)(random, at, root);
  }
  return written(root);
}

const written = (value: unknown): string =>
  (JSON.stringify(value) ?? 'null').replaceAll(/"\\u0001raw ((?:[^"\\]|\\.)*)"/g, (_, content: string) =>
    content.replaceAll('\\"', '"'),
  );
