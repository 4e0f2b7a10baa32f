/** A place of a browser that holds files. */
export interface Place {
  /** undefined where nothing has this path. */
  find(path: string): Promise<Bytes | 'folder' | undefined>;
  /** Names of what a folder holds, as far as the place tells. */
  list(folder: string): Promise<string[]>;
}

/** A file's bytes. */
export interface Bytes {
  readonly size: number;
  readonly read: (start: number, end: number) => Promise<Uint8Array>;
}

/** A `File` is one. */
export const bytesOfBlob = (blob: Blob): Bytes => ({
  size: blob.size,
  read: async (start, end) => new Uint8Array(await blob.slice(start, end).arrayBuffer()),
});
