/**
 * SentencePiece's table of what characters are folded into (`precompiled_charsmap`): a double-array trie (Darts-clone)
 * over UTF-8 bytes, which leads to places in a text of replacements, each ended by a zero byte.
 */
export class CharacterMap {
  readonly #trie: Uint32Array;
  readonly #replacements: Uint8Array;

  /** RangeError where the bytes are no such table. */
  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const size = bytes.length < 4 ? 0 : view.getUint32(0, true);
    if (size === 0 || size % 4 !== 0 || size > bytes.length - 4)
      throw new RangeError('the table of characters is broken');
    this.#trie = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.#replacements = bytes.subarray(4 + size);
  }

  /** At each place the longest sequence in the table is replaced; what is not in it stays. */
  normalize(text: string): string {
    const bytes = new TextEncoder().encode(text);
    const out: number[] = [];
    for (let at = 0; at < bytes.length;) {
      const found = this.#longest(bytes, at);
      if (found) for (let i = found.place; this.#replacements[i]; i++) out.push(this.#replacements[i]);
      const end = at + (found?.length ?? characterLength(bytes, at));
      if (!found) out.push(...bytes.subarray(at, end));
      at = end;
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(out));
  }

  #longest(bytes: Uint8Array, at: number): { length: number; place: number } | undefined {
    let found: { length: number; place: number } | undefined;
    let node = offsetOf(this.#trie[0]);
    for (let i = at; i < bytes.length; i++) {
      node ^= bytes[i];
      const unit = this.#trie[node] ?? 0;
      // The highest bit tells values from labels.
      if ((unit & 0x800000ff) !== bytes[i]) break;
      node ^= offsetOf(unit);
      if ((unit >>> 8) & 1) found = { length: i + 1 - at, place: (this.#trie[node] ?? 0) & 0x7fffffff };
    }
    return found;
  }
}

function characterLength(bytes: Uint8Array, at: number): number {
  let length = 1;
  while ((bytes[at + length] & 0xc0) === 0x80) length++;
  return length;
}

const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
