/**
 * Values that kernels compute with. A `Value` is an expression: a typed recipe that emits instructions where a
 * statement (see `kernel.ts`) uses it, each time it is used. What is used twice belongs in `k.let`.
 */
import type { Code, ValueType } from './assembler.js';
import type { MemoryOp, PlainOp } from './opcodes.js';

export type Scalar = 'i32' | 'f32' | 'f64';
export type Vector = 'i32x4' | 'f32x4' | 'f64x2';
export type Kind = Scalar | Vector;

type LaneOf<K extends Kind> = K extends 'i32x4' ? 'i32' : K extends 'f32x4' ? 'f32' : K extends 'f64x2' ? 'f64' : K;
/** What a comparison gives: 0 or 1 for scalars, a mask of ones a lane for vectors. */
type MaskOf<K extends Kind> = K extends Scalar ? 'i32' : 'i32x4';
type IntegerOf<K extends Kind> = K extends 'f32' ? 'i32' : K extends 'f32x4' ? 'i32x4' : K;
type DoubleOf<K extends Kind> = K extends 'f32' ? 'f64' : K extends 'f32x4' ? 'f64x2' : never;
type FloatOf<K extends Kind> = K extends 'i32' ? 'f32' : K extends 'i32x4' ? 'f32x4' : K;

/** An operand: a value of the same kind, of its lanes' kind (then splat), or a constant. */
export type Arg<K extends Kind> = Value<K> | Value<LaneOf<K>> | number;
/** One float or four, for code that serves vectors and their tails. */
export type Float = Value<'f32' | 'f32x4'>;
export type Int = Value<'i32'>;

export const typeOf = (kind: Kind): ValueType => (kind === 'i32' || kind === 'f32' || kind === 'f64' ? kind : 'v128');
export const bytesOf = (kind: Kind): number => ({ i32: 4, f32: 4, f64: 8, i32x4: 16, f32x4: 16, f64x2: 16 })[kind];

const laneKind = (kind: Kind): Scalar =>
  kind === 'i32x4' ? 'i32' : kind === 'f32x4' ? 'f32' : kind === 'f64x2' ? 'f64' : kind;
const isVector = (kind: Kind): kind is Vector => laneKind(kind) !== kind;

export class Value<K extends Kind> {
  constructor(
    readonly kind: K,
    readonly emit: (code: Code) => void,
  ) {}

  plus(other: Arg<K>): Value<K> {
    return this.#with('add', other);
  }
  minus(other: Arg<K>): Value<K> {
    return this.#with('sub', other);
  }
  times(other: Arg<K>): Value<K> {
    return this.#with('mul', other);
  }
  /** Unsigned for integers, as sizes and addresses are. */
  over(other: Arg<K>): Value<K> {
    return this.#with(this.kind === 'i32' ? 'div_u' : 'div', other);
  }
  remainder(other: Arg<K>): Value<K> {
    return this.#with('rem_u', other);
  }
  min(other: Arg<K>): Value<K> {
    if (this.kind !== 'i32') return this.#with('min', other);
    const right = coerce(other, this.kind);
    return choose(this.less(right) as Value<'i32'>, this, right);
  }
  /** Unsigned for integers. */
  max(other: Arg<K>): Value<K> {
    if (this.kind !== 'i32') return this.#with(this.kind === 'i32x4' ? 'max_u' : 'max', other);
    const right = coerce(other, this.kind);
    return choose(this.less(right) as Value<'i32'>, right, this);
  }
  /** Floats: the smaller, or this one where it is NaN. One instruction where `min`, which heeds either's NaN, is many. */
  orSmaller(other: Arg<K>): Value<K> {
    if (isVector(this.kind)) return this.#with('pmin', other);
    const right = coerce(other, this.kind);
    return choose(right.less(this) as Value<'i32'>, right, this);
  }
  /** Floats: the larger, or this one where it is NaN. */
  orLarger(other: Arg<K>): Value<K> {
    if (isVector(this.kind)) return this.#with('pmax', other);
    const right = coerce(other, this.kind);
    return choose(this.less(right) as Value<'i32'>, right, this);
  }

  squared(): Value<K> {
    return this.times(this);
  }
  sqrt(): Value<K> {
    return this.#alone('sqrt');
  }
  negated(): Value<K> {
    return this.#alone('neg');
  }
  /** To the nearest integer, ties to even. */
  nearest(): Value<K> {
    return this.#alone('nearest');
  }

  /** Unsigned for integers. */
  less(other: Arg<K>): Value<MaskOf<K>> {
    return this.#compare(laneKind(this.kind) === 'i32' ? 'lt_u' : 'lt', other);
  }
  atLeast(other: Arg<K>): Value<MaskOf<K>> {
    return this.#compare(laneKind(this.kind) === 'i32' ? 'ge_u' : 'ge', other);
  }
  greater(other: Arg<K>): Value<MaskOf<K>> {
    return this.#compare(laneKind(this.kind) === 'i32' ? 'gt_u' : 'gt', other);
  }
  equals(other: Arg<K>): Value<MaskOf<K>> {
    return this.#compare('eq', other);
  }
  differs(other: Arg<K>): Value<MaskOf<K>> {
    return this.#compare('ne', other);
  }

  and(other: Arg<K>): Value<K> {
    return this.#bitwise('and', other);
  }
  or(other: Arg<K>): Value<K> {
    return this.#bitwise('or', other);
  }
  shiftLeft(bits: number): Value<K> {
    return this.#shift('shl', bits);
  }
  /** Filled with zeros. */
  shiftRight(bits: number): Value<K> {
    return this.#shift('shr_u', bits);
  }
  /** Filled with copies of the sign. */
  shiftRightSigned(bits: number): Value<K> {
    return this.#shift('shr_s', bits);
  }

  /** The integer with the same bits. */
  bits(): Value<IntegerOf<K>> {
    return this.#to<IntegerOf<K>>(
      this.kind === 'f32' ? 'i32' : 'i32x4',
      this.kind === 'f32' ? 'i32.reinterpret_f32' : undefined,
    );
  }
  /** The float with the same bits. */
  asFloat(): Value<FloatOf<K>> {
    return this.#to<FloatOf<K>>(
      this.kind === 'i32' ? 'f32' : 'f32x4',
      this.kind === 'i32' ? 'f32.reinterpret_i32' : undefined,
    );
  }
  /** Truncates; NaN gives 0 and what is too large the nearest integer. */
  toInteger(): Value<IntegerOf<K>> {
    return this.kind === 'f32' ? this.#to('i32', 'i32.trunc_sat_f32_s') : this.#to('i32x4', 'i32x4.trunc_sat_f32x4_s');
  }
  toFloat(): Value<FloatOf<K>> {
    return this.kind === 'i32' ? this.#to('f32', 'f32.convert_i32_s') : this.#to('f32x4', 'f32x4.convert_i32x4_s');
  }
  /** f32 to f64; of f32x4 the first two lanes. */
  promoted(): Value<DoubleOf<K>> {
    return this.kind === 'f32' ? this.#to('f64', 'f64.promote_f32') : this.#to('f64x2', 'f64x2.promote_low_f32x4');
  }
  /** f64 to f32. */
  demoted(): Value<'f32'> {
    return this.#to('f32', 'f32.demote_f64');
  }

  lane(index: number): Value<LaneOf<K>> {
    const name = `${this.kind}.extract_lane` as 'f32x4.extract_lane';
    return new Value(laneKind(this.kind) as LaneOf<K>, (code) => (this.emit(code), code.lane(name, index)));
  }

  #with(op: string, other: Arg<K>): Value<K> {
    const right = coerce(other, this.kind);
    return new Value(
      this.kind,
      (code) => (this.emit(code), right.emit(code), code.op(`${this.kind}.${op}` as PlainOp)),
    );
  }
  #alone(op: string): Value<K> {
    return new Value(this.kind, (code) => (this.emit(code), code.op(`${this.kind}.${op}` as PlainOp)));
  }
  #compare(op: string, other: Arg<K>): Value<MaskOf<K>> {
    const mask = (isVector(this.kind) ? 'i32x4' : 'i32') as MaskOf<K>;
    return new Value(mask, this.#with(op, other).emit);
  }
  #bitwise(op: 'and' | 'or', other: Arg<K>): Value<K> {
    const right = coerce(other, this.kind);
    const name: PlainOp = isVector(this.kind) ? `v128.${op}` : `i32.${op}`;
    return new Value(this.kind, (code) => (this.emit(code), right.emit(code), code.op(name)));
  }
  #shift(op: string, bits: number): Value<K> {
    return new Value(
      this.kind,
      (code) => (this.emit(code), code.constant('i32', bits), code.op(`${this.kind}.${op}` as PlainOp)),
    );
  }
  #to<R extends Kind>(kind: Kind, op: PlainOp | undefined): Value<R> {
    return new Value(kind as R, (code) => (this.emit(code), op && code.op(op)));
  }
}

export function constant<K extends Kind>(kind: K, value: number): Value<K> {
  if (!isVector(kind)) return new Value(kind, (code) => code.constant(kind as Scalar, value));
  if (kind === 'f64x2') return splat(kind, constant('f64', value) as Value<LaneOf<K>>);
  const word = kind === 'i32x4' ? value : new Int32Array(new Float32Array([value]).buffer)[0];
  return new Value(kind, (code) => code.vector([word, word, word, word]));
}

/** A float for each lane. */
export const floatsOf = (...lanes: readonly [number, number, number, number]): Value<'f32x4'> =>
  new Value('f32x4', (code) => code.vector([...new Int32Array(Float32Array.from(lanes).buffer)]));

export const splat = <K extends Kind>(kind: K, value: Value<LaneOf<K>>): Value<K> =>
  new Value(kind, (code) => (value.emit(code), code.op(`${kind}.splat` as PlainOp)));

/** An operand as a value of `kind`. */
export function coerce<K extends Kind>(value: Arg<K>, kind: K): Value<K> {
  if (typeof value === 'number') return constant(kind, value);
  return (value.kind as Kind) === kind ? (value as Value<K>) : splat(kind, value as Value<LaneOf<K>>);
}

/** `mask ? yes : no`, by lanes where the mask is a vector. */
export function choose<K extends Kind>(mask: Value<'i32' | 'i32x4'>, yes: Value<K>, no: Arg<K>): Value<K> {
  const otherwise = coerce(no, yes.kind);
  const op: PlainOp = mask.kind === 'i32' ? 'select' : 'v128.bitselect';
  return new Value(yes.kind, (code) => (yes.emit(code), otherwise.emit(code), mask.emit(code), code.op(op)));
}

/** a b + c, rounded once or twice, whichever the processor does (relaxed SIMD). */
export const multiplyAdd = (a: Value<'f32x4'>, b: Value<'f32x4'>, c: Value<'f32x4'>): Value<'f32x4'> =>
  new Value('f32x4', (code) => (a.emit(code), b.emit(code), c.emit(code), code.op('f32x4.relaxed_madd')));

/** a b + c: rounded twice where that must not be fused. */
export const multiplyAddIf = (fused: boolean): typeof multiplyAdd =>
  fused ? multiplyAdd : (a, b, c) => c.plus(a.times(b));

/** The four floats' bits as two doubles, to store them two by two. */
export const asDoubles = (value: Value<'f32x4'>): Value<'f64x2'> => new Value('f64x2', value.emit);

/** Bytes of two vectors: 0 to 15 from the first, 16 to 31 from the second. */
export const shuffle = <K extends Vector>(a: Value<K>, b: Value<K>, bytes: readonly number[]): Value<K> =>
  new Value(a.kind, (code) => (a.emit(code), b.emit(code), code.shuffle(bytes)));

const loading =
  <K extends Kind>(kind: K, op: MemoryOp) =>
  (address: Int, offset = 0): Value<K> =>
    new Value(kind, (code) => (address.emit(code), code.memory(op, offset)));

/** Reads at an address, `offset` bytes on. */
export const load = {
  i32: loading('i32', 'i32.load'),
  i8: loading('i32', 'i32.load8_u'),
  i8Signed: loading('i32', 'i32.load8_s'),
  i16: loading('i32', 'i32.load16_u'),
  f32: loading('f32', 'f32.load'),
  f64: loading('f64', 'f64.load'),
  f32x4: loading('f32x4', 'v128.load'),
  f64x2: loading('f64x2', 'v128.load'),
  /** One float in all four lanes. */
  f32Splat: loading('f32x4', 'v128.load32_splat'),
  f64Splat: loading('f64x2', 'v128.load64_splat'),
  /** Two floats as doubles. */
  f32x2Promoted: (address: Int, offset = 0): Value<'f64x2'> =>
    loading('f32x4', 'v128.load64_zero')(address, offset).promoted(),
  /** Eight signed bytes as 16-bit integers, two in each lane. */
  i8x8Signed: loading('i32x4', 'v128.load8x8_s'),
  /** Four unsigned 16-bit integers, widened. */
  i16x4: loading('i32x4', 'v128.load16x4_u'),
  /** The same of signed ones. */
  i16x4Signed: loading('i32x4', 'v128.load16x4_s'),
};
