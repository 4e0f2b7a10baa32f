/** What a message shows of a value from a file: at most 60 characters of its JSON, and of nested values the outermost ones. */
export function shownValue(value: unknown): string {
  const text = JSON.stringify(pruned(value, 3)) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

/** A value without what lies deeper, so that nesting beyond the stack can be shown too. */
function pruned(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'string') return value.slice(0, 60);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return '…';
  const few = 10;
  return Array.isArray(value)
    ? value.slice(0, few).map((item) => pruned(item, depth - 1))
    : Object.fromEntries(
        Object.entries(value)
          .slice(0, few)
          .map(([key, item]) => [key.slice(0, 60), pruned(item, depth - 1)]),
      );
}
