import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Files of a folder by their paths in it. */
export type Files = Readonly<Record<string, Uint8Array | string>>;

export function writeFiles(folder: string, files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

/** What `make` makes of a folder of these files, which goes. */
export async function fromFolder<T>(files: Files, make: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'llm-drop-fuzz-input-'));
  try {
    writeFiles(folder, files);
    return await make(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The same files in a folder of the folder. */
export const within = (name: string, files: Files): Files =>
  Object.fromEntries(Object.entries(files).map(([path, content]) => [`${name}/${path}`, content]));

/** Something that reads files, or words of a command line. */
export interface Target {
  readonly name: string;
  /** Of all mutants, beside the other targets' shares. */
  readonly share: number;
  /** Good inputs, of which each mutant changes one. */
  inputs(): Promise<readonly Files[]>;
  /** The files that are changed. @defaultValue all */
  readonly changes?: RegExp;
  /** Reads a folder that holds an input's files. Numbers that it gives must be finite; what is refused is an expected error. */
  read(folder: string): Promise<ArrayLike<number> | void>;
}
