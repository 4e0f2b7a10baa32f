/**
 * Byte-pair encoding as SentencePiece does it (Kudo and Richardson 2018): of all neighbours whose joined text is a piece,
 * those of the highest score are joined, the leftmost of equals, until there are none.
 */
export class PieceMerges {
  /** `unused` pieces are joined on the way, and taken apart in the end. */
  constructor(
    private readonly scores: ReadonlyMap<string, number>,
    private readonly unused: ReadonlySet<string> = new Set(),
  ) {}

  /** Pieces, and single characters that are none. */
  split(text: string): string[] {
    const chars = Array.from(text);
    const count = chars.length;
    /** The text of what begins at a place; undefined where it was joined to what stands before. */
    const symbols: (string | undefined)[] = chars;
    const next = Int32Array.from({ length: count }, (_, i) => (i + 1 < count ? i + 1 : -1));
    const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
    const joinedFrom = new Map<string, readonly [string, string]>();
    const queue = new JoinQueue();
    const propose = (left: number, right: number): void => {
      if (left < 0 || right < 0) return;
      const joined = symbols[left]! + symbols[right]!;
      const score = this.scores.get(joined);
      if (score === undefined) return;
      queue.push({ left, right, joined, score });
      if (this.unused.has(joined)) joinedFrom.set(joined, [symbols[left]!, symbols[right]!]);
    };
    for (let i = 1; i < count; i++) propose(i - 1, i);
    for (let join = queue.pop(); join; join = queue.pop()) {
      const { left, right, joined } = join;
      // One of the two has been joined to something else since.
      if (symbols[left] === undefined || symbols[right] === undefined) continue;
      if (next[left] !== right || symbols[left] + symbols[right] !== joined) continue;
      symbols[left] = joined;
      symbols[right] = undefined;
      next[left] = next[right];
      if (next[right] >= 0) previous[next[right]] = left;
      propose(previous[left], left);
      propose(left, next[left]);
    }
    const apart = (piece: string): string[] => {
      const parts = this.unused.has(piece) ? joinedFrom.get(piece) : undefined;
      return parts ? parts.flatMap(apart) : [piece];
    };
    return symbols.flatMap((piece) => (piece === undefined ? [] : apart(piece)));
  }
}

interface Join {
  readonly left: number;
  readonly right: number;
  readonly joined: string;
  readonly score: number;
}

const comesBefore = (a: Join, b: Join): boolean => a.score > b.score || (a.score === b.score && a.left < b.left);

/** A binary heap. */
class JoinQueue {
  readonly #heap: Join[] = [];

  push(join: Join): void {
    const heap = this.#heap;
    let at = heap.push(join) - 1;
    for (let up = (at - 1) >> 1; at > 0 && comesBefore(join, heap[up]); up = (at - 1) >> 1) {
      heap[at] = heap[up];
      at = up;
    }
    heap[at] = join;
  }

  pop(): Join | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && comesBefore(heap[down + 1], heap[down])) down++;
      if (!comesBefore(heap[down], last)) break;
      heap[at] = heap[down];
      at = down;
    }
    heap[at] = last;
    return first;
  }
}
