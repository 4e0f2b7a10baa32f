/** Numbers of JSON as other languages tell them apart: Python reads `0.0` as a float and `0` as an int, and some check. */

/** Fields whose value is written as a float though it is a whole number: `"rope_theta": 10000.0`. */
const wholeFloat = /"((?:[^"\\]|\\.)+)"\s*:\s*-?\d+(?:\.0+(?:[eE][+-]?\d+)?|(?:\.\d+)?[eE][+-]?\d+)\s*(?=[,}\]])/g;

const fieldsOf = new WeakMap<object, ReadonlySet<string>>();

/** Parses, and remembers of an object which of its fields, at any depth, are floats. */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (typeof value === 'object' && value !== null)
    fieldsOf.set(value, new Set([...text.matchAll(wholeFloat)].map(([, name]) => name)));
  return value;
}

/** The fields of `original` without those named, whose floats stay floats when it is written. */
export function withoutKeys(
  original: Readonly<Record<string, unknown>>,
  names: readonly string[],
): Record<string, unknown> {
  return derived(Object.fromEntries(Object.entries(original).filter(([name]) => !names.includes(name))), original);
}

/** `value`, made from `original`, whose floats stay floats when it is written. */
export function derived<T extends object>(value: T, original: object): T {
  const floats = fieldsOf.get(original);
  if (floats) fieldsOf.set(value, floats);
  return value;
}

/** Text of a value made from `original`, as `parseJson` gave it, whose floats stay floats. */
export function formatJson(value: unknown, original: object, indent = 2): string {
  const floats = fieldsOf.get(original) ?? new Set();
  const text = JSON.stringify(value, null, indent);
  return text.replace(/^(\s*"((?:[^"\\]|\\.)+)": -?\d+)(,?)$/gm, (line, field: string, name: string, comma: string) =>
    floats.has(name) ? `${field}.0${comma}` : line,
  );
}
