/**
 * The files that models are read from, wherever they lie: `node.ts` has those of the disk, `browser.ts` what a page was
 * given, loads, or keeps. What fails throws as Node does, an error with a code such as 'ENOENT'.
 */
export interface FileSystem {
  join(folder: string, ...names: string[]): string;
  /** The last part of a path, without `ending`. */
  basename(path: string, ending?: string): string;
  dirname(path: string): string;
  /** With its dot: '.gguf'. */
  extname(path: string): string;
  stat(path: string): Promise<{ isFile(): boolean; isDirectory(): boolean }>;
  /** Names of what a folder holds. */
  readdir(folder: string): Promise<string[]>;
  open(path: string): Promise<OpenFile>;
  /** All of a file that may be endless, in order. */
  stream(path: string): AsyncIterable<Uint8Array>;
  copyFile(from: string, to: string): Promise<void>;
  mkdir(folder: string): Promise<unknown>;
  writeFile(path: string, text: string): Promise<void>;
  /** So many bytes, which need not be zero, at the beginning of a buffer: any element type fits its alignment. */
  bytes(count: number): Uint8Array<ArrayBuffer>;
}

/** A file that is read by position. */
export interface OpenFile {
  stat(): Promise<{ readonly size: number }>;
  /** Reads up to `length` bytes from `position` of the file to `offset` of `into`; none at the file's end. */
  read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  close(): Promise<void>;
}
