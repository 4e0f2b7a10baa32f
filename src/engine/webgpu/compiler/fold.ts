/** What the lanes of a workgroup have, as one value. */
import type { Piece } from './kernel.js';

/** How lanes meet: in memory that they share, or first in subgroups, which have an instruction for it. */
export type FoldBy = 'memory' | 'subgroups';

/** Of a and b; associative. */
const combining = {
  sum: (a: string, b: string) => `${a} + ${b}`,
  most: (a: string, b: string) => `max(${a}, ${b})`,
} as const;

/** A function `name(value, lane)`: the sum or maximum of all lanes' values, which every lane gets. All must call it. */
export function fold(kind: keyof typeof combining, name: string, type: string, lanes: number): Piece {
  const memory = `${name}Lanes`;
  return {
    shared: { [memory]: `array<${type}, ${lanes}>` },
    code: `
fn ${name}(value: ${type}, lane: u32) -> ${type} {
  workgroupBarrier();
  ${memory}[lane] = value;
  for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (lane < half) { ${memory}[lane] = ${combining[kind](`${memory}[lane]`, `${memory}[lane + half]`)}; }
  }
  return workgroupUniformLoad(&${memory}[0]);
}`,
  };
}

/**
 * The same sum by subgroups, whose own sums meet in memory. WGSL does not promise that lanes are in subgroups by their
 * order, though drivers do it: the self-test of a plan that takes this sees whether this one does.
 */
export function subgroupSum(name: string, type: string, lanes: number): Piece {
  const memory = `${name}Lanes`;
  return {
    enables: ['subgroups'],
    shared: { [memory]: `array<${type}, ${lanes}>` },
    code: `
fn ${name}(value: ${type}, lane: u32) -> ${type} {
  let own = subgroupAdd(value);
  workgroupBarrier();
  ${memory}[lane] = own;
  workgroupBarrier();
  var all = ${memory}[0];
  for (var i = subgroupLanes; i < ${lanes}u; i += subgroupLanes) { all += ${memory}[i]; }
  return all;
}`,
  };
}

/** A loop of a workgroup over 0 to `count`, each lane taking every `lanes`th. */
export const each = (count: string, lanes: number, body: (i: string) => string): string =>
  `for (var i = lane; i < ${count}; i += ${lanes}u) { ${body('i')} }`;
