import { expect, it } from 'vitest';
import { float16ToFloat32, float32ToFloat16 } from '../../src/engine/halfFloat.js';
import { Machine } from '../../src/engine/wasm/runtime/machine.js';
import { exponentials } from '../../src/engine/wasm/kernels/exp.js';
import { halfFloat } from '../../src/engine/wasm/kernels/float16.js';
import { random } from '../support/backends.js';
import { allowRelaxed } from '../support/relaxed.js';

const machine = new Machine();
const versions = allowRelaxed() ? (['strict', 'fused'] as const) : (['strict'] as const);

function exp(version: 'strict' | 'fused', values: Float32Array): Float32Array {
  using frame = machine.memory.frame();
  const at = frame.take(values.byteLength);
  machine.memory.floats(at, values.length).set(values);
  machine.kernels(exponentials[version]).exp({ x: at, y: at, count: values.length });
  return machine.memory.floats(at, values.length).slice();
}

it.each(versions)('exp, %s, is within 2 ulp of the exact value', (version) => {
  const x = Float32Array.from({ length: 400_001 }, (_, i) => -87.3 + (i * 175.6) / 400_000);
  const worst = exp(version, x).reduce(
    (most, y, i) => Math.max(most, Math.abs(y - Math.exp(x[i])) / Math.exp(x[i])),
    0,
  );
  // An ulp is at most 2^-23 of a number.
  expect(worst).toBeLessThan(2 * 2 ** -23);
});

it.each(versions)('exp, %s, knows its limits, in vectors and in tails', (version) => {
  const cases = [-Infinity, -1e4, -88, 0, 1e4, Infinity, NaN];
  const largest = Math.fround(Math.exp(88.376));
  const expected = [0, 0, 0, 1, largest, largest, NaN];
  const all = exp(version, Float32Array.from([...cases, ...cases, ...cases]));
  all.forEach((y, i) => {
    const want = expected[i % 7];
    if (want === largest) expect(Math.abs(y / largest - 1)).toBeLessThan(1e-5);
    else expect(y).toBe(want);
  });
});

it('widens every float16 exactly', () => {
  using frame = machine.memory.frame();
  const count = 65536;
  const [source, target] = [frame.take(2 * count), frame.take(4 * count)];
  machine.memory.bytes(source, 2 * count).set(new Uint8Array(Uint16Array.from({ length: count }, (_, i) => i).buffer));
  machine.kernels(halfFloat).widenFloat16({ source, target, count });
  machine.memory.floats(target, count).forEach((value, half) => {
    if (!Object.is(value, float16ToFloat32(half)))
      expect.fail(`${half}: ${value} instead of ${float16ToFloat32(half)}`);
  });
});

it('narrows to float16 as the tables do', () => {
  using frame = machine.memory.frame();
  const halves = Array.from({ length: 65536 }, (_, half) => float16ToFloat32(half)).filter((x) => !Number.isNaN(x));
  // Every half, the middles between neighbours, and numbers in between.
  const middles = halves.map((x, i) => (x + (halves[i + 1] ?? x)) / 2).filter(Number.isFinite);
  const values = Float32Array.from([
    ...halves,
    ...middles,
    ...random(3, [5000], 70000),
    ...random(4, [5000], 1e-4),
    NaN,
    65519.99,
    65520,
    1e30,
  ]);
  const [source, target] = [frame.take(values.byteLength), frame.take(2 * values.length)];
  machine.memory.floats(source, values.length).set(values);
  machine.kernels(halfFloat).narrowFloat16({ source, target, count: values.length });
  const got = new Uint16Array(machine.memory.bytes(target, 2 * values.length).slice().buffer);
  values.forEach((value, i) => {
    if (got[i] !== float32ToFloat16(value)) expect.fail(`${value}: ${got[i]} instead of ${float32ToFloat16(value)}`);
  });
});
