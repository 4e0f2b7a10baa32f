import { UserError, shownNames, shownValue } from '../engine/index.js';

/** A row of a data set: fields that are read as what they should be, or refused with the place in the file. */
export class Row {
  #key: string | undefined;

  constructor(
    private readonly fields: Readonly<Record<string, unknown>>,
    /** For messages: file and number. */
    readonly place: string,
  ) {}

  /** UserError where the record is no object. */
  static of(record: unknown, place: string): Row {
    if (isObject(record)) return new Row(record, place);
    throw new UserError(`${place}: expected an object, found ${shownValue(record)}`);
  }

  has(name: string): boolean {
    return this.fields[name] !== undefined && this.fields[name] !== null;
  }

  text(name: string): string {
    const value = this.#value(name);
    return typeof value === 'string' ? value : this.#refuse(name, 'a text', value);
  }

  texts(name: string): readonly string[] {
    const value = this.#value(name);
    const texts = Array.isArray(value) && value.every((one) => typeof one === 'string');
    return texts ? (value as string[]) : this.#refuse(name, 'a list of texts', value);
  }

  /** A number from 0 to below `end`; parquet has it as a bigint, CSV as a text. */
  index(name: string, end: number): number {
    const value = this.#value(name);
    const number = typeof value === 'string' && value.trim() === '' ? NaN : Number(value);
    return Number.isInteger(number) && number >= 0 && number < end
      ? number
      : this.#refuse(name, `a number from 0 to ${end - 1}`, value);
  }

  /** Where the text of a field stands among others. */
  placeAmong(name: string, texts: readonly string[]): number {
    const place = texts.indexOf(this.text(name).trim());
    return place >= 0 ? place : this.#refuse(name, `one of ${shownNames(texts)}`, this.fields[name]);
  }

  /** One of some labels, by its number or by its name. */
  label(name: string, names: readonly string[]): number {
    const place = names.indexOf(String(this.#value(name)));
    return place >= 0 ? place : this.index(name, names.length);
  }

  row(name: string): Row {
    const value = this.#value(name);
    return isObject(value) ? new Row(value, this.place) : this.#refuse(name, 'an object', value);
  }

  /** Whether all fields are the same. */
  equals(other: Row): boolean {
    return this.key === other.key;
  }

  private get key(): string {
    return (this.#key ??= JSON.stringify(this.fields, (_, value: unknown) =>
      typeof value === 'bigint' ? Number(value) : value,
    ));
  }

  #value(name: string): unknown {
    if (this.has(name)) return this.fields[name];
    throw new UserError(`${this.place}: there is no field ${name}`, {
      hint: `its fields are ${shownNames(Object.keys(this.fields))}`,
    });
  }

  #refuse(name: string, expected: string, value: unknown): never {
    throw new UserError(`${this.place}: expected ${expected} in the field ${name}, found ${shownValue(value)}`);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
