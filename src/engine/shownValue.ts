/** What a message shows of a value from a file: at most so many characters of its JSON, and of nested values the outermost ones. */
export function shownValue(value: unknown, most = 60): string {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(pruned(value, 3)) ?? 'nothing');
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** What a message shows of names from a file: the first twelve, and how many more there are. */
export function shownNames(names: readonly string[]): string {
  const most = 12;
  const more = names.length > most ? `, and ${names.length - most} more` : '';
  return names.length === 0
    ? 'none'
    : `${names
        .slice(0, most)
        .map((name) => shownName(name))
        .join(', ')}${more}`;
}

/** A name from a file, without quotes. */
export const shownName = (name: string): string => (name.length > 60 ? `${name.slice(0, 59)}…` : name);

/** A value without what lies deeper, so that nesting beyond the stack can be shown too. */
function pruned(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return String(value);
  // A number too large for JSON is infinite once it is read.
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (typeof value === 'string') return value.slice(0, 60);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return '…';
  // Of which each takes two characters and more.
  const few = 31;
  return Array.isArray(value)
    ? value.slice(0, few).map((item) => pruned(item, depth - 1))
    : Object.fromEntries(
        Object.entries(value)
          .slice(0, few)
          .map(([key, item]) => [key.slice(0, 60), pruned(item, depth - 1)]),
      );
}
