/** Rows of cells in columns, two spaces apart; columns of numbers lie to the right. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const cells = (column: number): string[] => rows.map((row) => row[column] ?? '');
  const widths = Array.from({ length: columns }, (_, c) => Math.max(...cells(c).map((cell) => cell.length)));
  const right = widths.map((_, c) => c > 0 && cells(c).slice(1).every(isNumber));
  return rows.map((row) =>
    widths
      .map((width, c) => (right[c] ? (row[c] ?? '').padStart(width) : (row[c] ?? '').padEnd(width)))
      .join('  ')
      .trimEnd(),
  );
}

const isNumber = (cell: string): boolean => cell === '' || /^[+-]?[\d.,]/.test(cell);

/** Names and values, one pair a line. */
export function facts(pairs: readonly (readonly [name: string, value: string])[]): string[] {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}
