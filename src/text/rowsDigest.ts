import { createHash } from 'node:crypto';

/** Of the rows' tokens, their lengths and their order: SHA-256, hexadecimal. */
export function rowsDigest(rows: readonly Int32Array[]): string {
  const hash = createHash('sha256');
  for (const row of rows) {
    hash.update(`${row.length} `);
    hash.update(new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
  }
  return hash.digest('hex');
}
