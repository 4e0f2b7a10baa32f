/** What a mistyped name most likely means of those that are known, as a hint: `did you mean attention?` */
export function didYouMean(given: string, known: readonly string[]): string | undefined {
  const found = nearest(given, known);
  return found === undefined ? undefined : `did you mean ${found}?`;
}

/**
 * The known name to which the fewest letters of another lead that are wrong, missing, added or swapped, whatever their
 * case: at most a third of its letters. undefined where none is that near.
 */
export function nearest(given: string, known: readonly string[]): string | undefined {
  const typed = given.slice(0, 60).toLowerCase();
  const near = known
    .map((name) => ({ name, distance: distanceOf(typed, name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.ceil(name.length / 3));
  return near.sort((a, b) => a.distance - b.distance).at(0)?.name;
}

/** Damerau and Levenshtein's, of neighbouring swaps ("optimal string alignment"). */
function distanceOf(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    [before, last] = [last, row];
  }
  return last[b.length];
}
