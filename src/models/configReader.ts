import type { JsonObject } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';

/**
 * Reads the keys of a `config.json`, naming file and key in what it throws, and remembers which keys were asked for: what
 * nobody asked for must be harmless (see `harmlessKeys.ts`). A key that is null is one that is absent.
 */
export class ConfigReader {
  readonly #asked: Set<string>;

  constructor(
    readonly raw: JsonObject,
    /** For messages. */
    readonly where: string,
    asked = new Set<string>(),
  ) {
    this.#asked = asked;
  }

  /** The keys that have been asked for. */
  get asked(): ReadonlySet<string> {
    return this.#asked;
  }

  fail(problem: string, hint?: string): never {
    throw new UserError(`${this.where}: ${problem}`, { hint });
  }

  /** Any value as it is; undefined where the key is absent or null. */
  value(key: string): unknown {
    this.#asked.add(key);
    return this.raw[key] ?? undefined;
  }

  number(key: string, fallback?: number): number {
    const value = this.value(key) ?? fallback;
    if (typeof value !== 'number' || !Number.isFinite(value))
      this.fail(value === undefined ? `${key} is missing` : `${key} must be a number, found ${JSON.stringify(value)}`);
    return value;
  }

  /** A whole number of at least 1. */
  count(key: string, fallback?: number): number {
    const value = this.number(key, fallback);
    if (!Number.isInteger(value) || value < 1) this.fail(`${key} must be a whole number of at least 1, found ${value}`);
    return value;
  }

  optionalCount(key: string): number | undefined {
    return this.value(key) === undefined ? undefined : this.count(key);
  }

  text(key: string): string {
    const value = this.value(key);
    if (typeof value !== 'string') this.fail(`${key} is missing: it names the kind of model, e.g. "llama"`);
    return value;
  }

  /** True only where the key is `true`. */
  flag(key: string): boolean {
    return this.value(key) === true;
  }
}
