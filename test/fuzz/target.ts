/** Files of a folder by their names. */
export type Files = Readonly<Record<string, Uint8Array | string>>;

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
