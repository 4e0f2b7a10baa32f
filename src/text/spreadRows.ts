import type { TextRows } from './packedRows.js';

/** Of so many rows of a text, the last is never calibrated on where rows are spread: losses are measured on such. */
const heldOutEvery = 8;

/** So many times the rows that are wanted may be kept until the text's end tells which ones they are. */
const spare = 8;

export interface SpreadRows {
  readonly calibration: Int32Array[];
  readonly heldOut: Int32Array[];
  /** All rows of the texts. */
  readonly available: number;
}

/**
 * Rows that lie evenly over the whole of each text: `samples` to calibrate on and `heldOut` to measure on, fewer where
 * there are no more. Each eighth row is one to measure on, so which rows these are does not depend on `samples`, nor
 * the others on `heldOut`. Of n from N rows, row i is the text's floor(i N / n); of a long text, of which not all is kept,
 * one before that by less than N / 4n. Texts share the rows in turn, one each, as far as they go.
 */
export async function spreadRows(
  texts: readonly TextRows[],
  { samples, heldOut = 0 }: { readonly samples: number; readonly heldOut?: number },
): Promise<SpreadRows> {
  const calibration = [];
  const others = [];
  let available = 0;
  for (const text of texts) {
    const [kept, apart] = [new Thinned<Int32Array>(spare * samples), new Thinned<Int32Array>(spare * heldOut)];
    let row = 0;
    for await (const tokens of text.rows()) (++row % heldOutEvery ? kept : apart).add(tokens);
    available += row;
    calibration.push(kept);
    others.push(apart);
  }
  return { calibration: shared(calibration, samples), heldOut: shared(others, heldOut), available };
}

/** Of items whose number is not known before their end, those at multiples of a stride, which doubles as they grow too many. */
class Thinned<T> {
  count = 0;
  #kept: T[] = [];
  #stride = 1;

  constructor(private readonly most: number) {}

  add(item: T): void {
    if (this.count++ % this.#stride || this.most === 0) return;
    this.#kept.push(item);
    if (this.#kept.length <= this.most) return;
    this.#kept = this.#kept.filter((_, i) => i % 2 === 0);
    this.#stride *= 2;
  }

  /** So many of them, at most all, evenly. */
  evenly(wanted: number): T[] {
    return Array.from({ length: wanted }, (_, i) => this.#kept[Math.floor((i * this.count) / (wanted * this.#stride))]);
  }
}

/** So many items, of each list in turn one, and of each list evenly. */
function shared<T>(lists: readonly Thinned<T>[], wanted: number): T[] {
  const shares = lists.map(() => 0);
  const rounds: number[] = [];
  for (let before = -1; rounds.length < wanted && before < rounds.length;) {
    before = rounds.length;
    lists.forEach(({ count }, i) => {
      if (rounds.length < wanted && shares[i] < count) {
        rounds.push(i);
        shares[i]++;
      }
    });
  }
  const taken = lists.map((list, i) => list.evenly(shares[i])[Symbol.iterator]());
  return rounds.map((i) => taken[i].next().value as T);
}
