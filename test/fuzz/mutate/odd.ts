/** What programs stumble over. */

/** Ends of number types, and what lies beyond them. */
export const oddNumbers: readonly number[] = [
  ...[0, -0, 1, -1, 2, 3, 7, 0.5, -1.5, 1e-8, 1e-45, 1e-320, 5e-324, 1e30, 3e38, 1e39, 1e308],
  ...[
    127,
    128,
    255,
    256,
    65535,
    65536,
    2 ** 24,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    2 ** 63,
    -(2 ** 31),
    -(2 ** 53),
  ],
  ...[Infinity, -Infinity],
];

export const oddTexts: readonly string[] = [
  ...['', ' ', 'x', 'null', 'NaN', '-1', '1e999', 'true', '\0', '\ud800', '\u{1f600}', 'é', '\ufeff', '▁', '\u2028'],
  ...['__proto__', 'constructor', 'toString', '../../x', '/dev/zero', 'a'.repeat(10_000), '\n'.repeat(100)],
  ...['(a+)+b', '(?:x*)*y', '[', '\\p{L', '(?<=a)', '^$', '.*', '\\s+|\\S+', '(?i)a', '\\u{110000}'],
];
