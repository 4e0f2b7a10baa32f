import type { Tokenizer } from '../checkpoint/index.js';

/** How much text some tokens stand for. */
export interface TextSize {
  /** Parted by white space. */
  readonly words: number;
  /** Of UTF-8. */
  readonly bytes: number;
}

/** The size of rows that are cut one behind the other from documents, whose marks (BOS and EOS) are no text. */
export function textSize(
  { decode, bosId, eosId }: Pick<Tokenizer, 'decode' | 'bosId' | 'eosId'>,
  rows: readonly Int32Array[],
): TextSize {
  let [words, bytes] = [0, 0];
  let document: number[] = [];
  const count = (): void => {
    const text = decode(document);
    words += text.match(/\S+/g)?.length ?? 0;
    bytes += new TextEncoder().encode(text).length;
    document = [];
  };
  for (const row of rows)
    for (const id of row)
      if (id === bosId || id === eosId) count();
      else document.push(id);
  count();
  return { words, bytes };
}
