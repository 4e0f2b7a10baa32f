/** Errors carry data; the sentence is derived from it. */

/** A mistake in what a user gave (a file, a flag, an argument): one clear sentence, and what to do about it. */
export class UserError extends Error {
  override readonly name: string = 'UserError';
  readonly hint?: string;

  constructor(message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(options.hint ? `${message} (${options.hint})` : message, { cause: options.cause });
    this.hint = options.hint;
  }
}

/** Where something is that is not finite, as far as it is known. */
export interface NotFinitePlace {
  /** A stored weight. */
  readonly tensor?: string;
  /** The first module of a pass that gave it: its original layer, and which of the two. */
  readonly layer?: number;
  readonly module?: 'attention' | 'mlp';
}

/** NaN or infinity in a stored weight, or in what a pass computes: no loss, score, choice or file is made of it. */
export class NotFiniteError extends UserError {
  override readonly name = 'NotFiniteError';

  constructor(
    message: string,
    readonly place: NotFinitePlace = {},
    options: { hint?: string } = {},
  ) {
    super(message, options);
  }
}

export type Shape = readonly number[];

export const showShape = (shape: Shape): string => `[${shape.join(',')}]`;

/** Shapes that do not fit an operation: `[matmul] lhs [2,3] and rhs [4,5]: inner sizes 3 and 4 differ`. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError';
  readonly op: string;
  readonly shapes: Readonly<Record<string, Shape>>;
  readonly axis?: number;

  constructor(op: string, shapes: Record<string, Shape>, rule: string, axis?: number) {
    const named = Object.entries(shapes).map(([name, shape]) => `${name} ${showShape(shape)}`);
    super(`[${op}] ${named.join(' and ')}: ${rule}`);
    this.op = op;
    this.shapes = shapes;
    this.axis = axis;
  }
}

/** A tensor, weight, cache, accumulator, model, file or engine used after `dispose`, or disposed while it was in use. */
export class UseAfterFreeError extends Error {
  override readonly name = 'UseAfterFreeError';

  constructor(what: string) {
    super(`${what} was used after it was freed`);
  }
}

/** What one engine made was given to another: `[matmul] tensor [2,3] is of wasm engine 1, and was given to wasm engine 2`. */
export class WrongEngineError extends Error {
  override readonly name = 'WrongEngineError';
  readonly op: string;
  /** The names of the engine that made it, and of the one that it was given to. */
  readonly owner: string;
  readonly engine: string;

  constructor(op: string, what: string, owner: string, engine: string) {
    super(`[${op}] ${what} is of ${owner}, and was given to ${engine}`);
    this.op = op;
    this.owner = owner;
    this.engine = engine;
  }
}

/** A backend lacks an operation. Never a silent detour through another backend. */
export class UnsupportedOpError extends Error {
  override readonly name = 'UnsupportedOpError';
  readonly op: string;
  readonly backend: string;

  constructor(op: string, backend: string, detail: string) {
    super(`[${op}] the ${backend} backend does not support ${detail}`);
    this.op = op;
    this.backend = backend;
  }
}

/** The device of an engine is gone, and all that lay on it: its driver gave it up. A new engine has a new device. */
export class DeviceLostError extends Error {
  override readonly name = 'DeviceLostError';

  constructor(reason: string) {
    super(`the device was lost: ${reason || 'its driver gives no reason'}`);
  }
}

/** A key-value cache that no longer fits: its length, its slots, or the model's skip flags changed under it. */
export class CacheError extends Error {
  override readonly name = 'CacheError';
}
