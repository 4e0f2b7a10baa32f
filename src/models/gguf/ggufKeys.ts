import type { GgufFile } from '../../checkpoint/index.js';
import { UserError, shownValue } from '../../engine/index.js';

/** Keys that change nothing of what a model computes here, and why. */
const harmless: Readonly<Record<string, string>> = {
  vocab_size: 'the embedding says it',
  tensor_data_layout: 'how the file was made',
  'rope.scaling.finetuned': 'how the model was made',
  use_parallel_residual: 'of architectures that are not read',
  'attention.causal': 'all models here are',
};

/** Counts go into 32-bit integers. */
const largestCount = 2 ** 31 - 1;

/**
 * Reads an architecture's keys from a GGUF file's metadata, `<architecture>.<key>`, naming both in what it throws, and
 * remembers which were asked for: what nobody asked for must be harmless.
 */
export class GgufKeys {
  readonly #asked = new Set<string>();

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

  fail(problem: string, hint?: string): never {
    throw new UserError(`${this.file.path}: ${problem}`, { hint });
  }

  /** Any value as it is; undefined where the key is absent. */
  value(key: string): unknown {
    this.#asked.add(key);
    return this.file.metadata[`${this.architecture}.${key}`];
  }

  /** Undefined where the key is absent. */
  optionalNumber(key: string): number | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isFinite(value))
      this.fail(`${this.architecture}.${key} must be a number, found ${shownValue(value)}`);
    return decimal(value);
  }

  number(key: string, fallback?: number): number {
    return this.optionalNumber(key) ?? fallback ?? this.fail(`it holds no number ${this.architecture}.${key}`);
  }

  /** A whole number of at least 1, and at most `most`. */
  count(key: string, most = largestCount): number {
    const value = this.number(key);
    if (!Number.isInteger(value) || value < 1 || value > most)
      this.fail(`${this.architecture}.${key} must be a whole number from 1 to ${most}, found ${value}`);
    return value;
  }

  optionalText(key: string): string | undefined {
    const value = this.value(key);
    if (value === undefined || typeof value === 'string') return value;
    return this.fail(`${this.architecture}.${key} must be a text, found ${shownValue(value)}`);
  }

  /** A number for each of `layers` layers; the file may hold one for all. */
  perLayer(key: string, layers: number, fallback?: number): number[] {
    const value = this.value(key);
    const list: unknown[] = Array.isArray(value) ? value : Array.from({ length: layers }, () => value ?? fallback);
    const isCount = (one: unknown): boolean =>
      Number.isInteger(one) && (one as number) >= 0 && (one as number) <= largestCount;
    if (list.length !== layers || !list.every(isCount))
      this.fail(
        `${this.architecture}.${key} must be ${layers} whole numbers, or one for all, found ${shownValue(value)}`,
      );
    return list as number[];
  }

  /** UserError for a key that nobody asked for and that may change what the model computes. */
  refuseUnknown(): void {
    const prefix = `${this.architecture}.`;
    for (const [name, value] of Object.entries(this.file.metadata)) {
      const key = name.slice(prefix.length);
      if (!name.startsWith(prefix) || this.#asked.has(key) || Object.hasOwn(harmless, key) || value === false) continue;
      this.fail(
        `${name} (${shownValue(value, 40)}) is not known of this architecture, and may change what the model computes`,
      );
    }
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
