import type { GgufFile } from '../../checkpoint/index.js';
import { UserError, shownValue } from '../../engine/index.js';

/** Reads an architecture's keys from a GGUF file's metadata, `<architecture>.<key>`, naming both in what it throws. */
export class GgufKeys {
  private constructor(
    readonly file: GgufFile,
    /** `general.architecture` */
    readonly architecture: string,
  ) {}

  static of(file: GgufFile): GgufKeys {
    const architecture = file.metadata['general.architecture'];
    if (typeof architecture !== 'string')
      throw new UserError(`${file.path} does not say its architecture`, {
        hint: 'it holds no model, or only a part of one',
      });
    return new GgufKeys(file, architecture);
  }

  fail(problem: string): never {
    throw new UserError(`${this.file.path}: ${problem}`);
  }

  /** Undefined where the key is absent. */
  optionalNumber(key: string): number | undefined {
    const value = this.file.metadata[`${this.architecture}.${key}`];
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isFinite(value))
      this.fail(`${this.architecture}.${key} must be a number, found ${shownValue(value)}`);
    return decimal(value);
  }

  number(key: string, fallback?: number): number {
    return this.optionalNumber(key) ?? fallback ?? this.fail(`it holds no number ${this.architecture}.${key}`);
  }
}

/** The shortest decimal number that is the same float32: the file holds 0.00001 as 0.000009999999747378752. */
function decimal(value: number): number {
  if (Number.isInteger(value) || Math.fround(value) !== value) return value;
  for (let digits = 1; digits < 10; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
