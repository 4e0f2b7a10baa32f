import { type JsonObject } from '../checkpoint/index.js';
import { UserError, shownValue } from '../engine/index.js';
import { mostHeld, type Held } from './held.js';

/** Counts go into 32-bit integers. */
const largestCount = 2 ** 31 - 1;

/**
 * Reads the keys of a `config.json`, naming file and key in what it throws, and remembers which keys were asked for: what
 * nobody asked for must be harmless (see `harmlessKeys.ts`). A key that is absent has its family's default; one that is null
 * has no value, which is not the same: no window, say, where the default is one of 4096.
 */
export class ConfigReader {
  readonly #asked = new Set<string>();
  readonly #notes: string[] = [];

  constructor(
    readonly raw: JsonObject,
    /** For messages. */
    readonly where: string,
    /** What the file holds. */
    readonly held: Held = mostHeld,
    /** What a key means that is absent. */
    private readonly defaults: JsonObject = {},
  ) {}

  /** The keys that have been asked for. */
  get asked(): ReadonlySet<string> {
    return this.#asked;
  }

  /** What was odd in the config, and how it was taken. */
  get notes(): readonly string[] {
    return this.#notes;
  }

  note(sentence: string): void {
    this.#notes.push(sentence);
  }

  fail(problem: string, hint = this.#assumed(problem)): never {
    throw new UserError(`${this.where}: ${problem}`, { hint });
  }

  /** Which of the keys that a problem names have their defaults. */
  #assumed(problem: string): string | undefined {
    const keys = Object.keys(this.defaults).filter((key) => !Object.hasOwn(this.raw, key) && problem.includes(key));
    return keys.length ? `${keys.join(', ')} is absent, so it is this model type's default` : undefined;
  }

  /** Any value as it is; undefined where the key is null, or absent without a default. */
  value(key: string): unknown {
    this.#asked.add(key);
    return (Object.hasOwn(this.raw, key) ? this.raw[key] : this.defaults[key]) ?? undefined;
  }

  number(key: string): number {
    const value = this.value(key);
    if (typeof value !== 'number' || !Number.isFinite(value))
      this.fail(value === undefined ? `${key} is missing` : `${key} must be a number, found ${shownValue(value)}`);
    return value;
  }

  /** A number above 0 that is one in float32 as well. */
  positive(key: string): number {
    return positive(this.where, key, this.number(key));
  }

  optionalPositive(key: string): number | undefined {
    return this.value(key) === undefined ? undefined : this.positive(key);
  }

  /** A whole number of at least 1. */
  count(key: string): number {
    const value = this.number(key);
    if (!Number.isInteger(value) || value < 1) this.fail(`${key} must be a whole number of at least 1, found ${value}`);
    if (value > largestCount) this.fail(`${key} must be at most ${largestCount}, found ${value}`);
    return value;
  }

  optionalCount(key: string): number | undefined {
    return this.value(key) === undefined ? undefined : this.count(key);
  }

  /** `num_hidden_layers`, of which each has a tensor or is dropped. */
  layers(): number {
    const key = 'num_hidden_layers';
    const layers = this.count(key);
    const dropped = ['drop_attn_list', 'drop_mlp_list'].map((list) => this.value(list));
    const most = dropped.reduce<number>(
      (sum, list) => sum + (Array.isArray(list) ? list.length : 0),
      this.held.tensors,
    );
    if (layers > most)
      this.fail(`${key} is ${layers}, but the model has ${counted(this.held.tensors, 'tensor')} in all`);
    return layers;
  }

  /** How many experts a layer has, of which each has a tensor, or a part of one. */
  experts(key: string): number {
    const experts = this.count(key);
    if (experts > Math.max(this.held.experts, fewExperts))
      this.fail(
        `${key} is ${experts}, but the model has ${counted(this.held.tensors, 'tensor')} in all, and no stack of as many experts`,
      );
    return experts;
  }

  text(key: string): string {
    const value = this.value(key);
    if (typeof value !== 'string') this.fail(`${key} is missing: it names the kind of model, e.g. "llama"`);
    return value;
  }

  /** False where the key is absent. */
  flag(key: string): boolean {
    const value = this.value(key) ?? false;
    if (typeof value !== 'boolean') this.fail(`${key} must be true or false, found ${shownValue(value)}`);
    return value;
  }

  /** One token or a list of them; what is below 0 stands for none. */
  tokens(key: string): number[] {
    const ids = [this.value(key) ?? []].flat();
    for (const id of ids)
      if (!Number.isInteger(id) || (id as number) > largestCount)
        this.fail(`${key} must be the id of a token, found ${shownValue(id)}`);
    return (ids as number[]).filter((id) => id >= 0);
  }
}

/** So many cost nothing to describe, and a file whose MLPs are all dropped holds none of them. */
const fewExperts = 512;

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/** Refuses a number that is not above 0, or not finite, where it is computed with: in float32. */
export function positive(where: string, key: string, value: number): number {
  const single = Math.fround(value);
  if (!(single > 0 && Number.isFinite(single)))
    throw new UserError(`${where}: ${key} must be a number above 0, found ${value}`, {
      hint: value > 0 ? 'it is computed with in float32' : undefined,
    });
  return value;
}
