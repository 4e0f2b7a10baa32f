import { describe, expect, it } from 'vitest';
import {
  compensationPlan,
  type CompensationMode,
  type CompensationPlan,
  type ModuleAt,
} from '../../../src/drop/index.js';
import type { Drops } from '../../../src/models/index.js';

const nothing: Drops = { attention: [], mlp: [] };

function plan(
  drops: Drops,
  mode: CompensationMode,
  { missing = nothing, canRefit = () => true }: { missing?: Drops; canRefit?: (module: ModuleAt) => boolean } = {},
): CompensationPlan {
  return compensationPlan({ layers: 4, missing, canRefit }, drops, mode);
}

/** `a1` is the attention of layer 1, `m1` its MLP. */
const short = ({ layer, kind }: { layer: number; kind: string }): string => `${kind[0]}${layer}`;
const refits = ({ stretches }: CompensationPlan): string[] =>
  stretches
    .filter(({ refit }) => refit)
    .map(({ stays, dropped }) => [stays ? short(stays) : '', ...dropped.map(short)].join(' '));

describe('neighbours', () => {
  it.each<[string, Drops, string[]]>([
    ['an attention: down_proj of the layer before', { attention: [2], mlp: [] }, ['m1 a2']],
    ['an MLP: o_proj of its own layer', { attention: [], mlp: [2] }, ['a2 m2']],
    ['a block: the module before both', { attention: [2], mlp: [2] }, ['m1 a2 m2']],
    ['two that touch: the nearest that stays', { attention: [2], mlp: [1] }, ['a1 m1 a2']],
    ['two apart: each its own', { attention: [1, 3], mlp: [] }, ['m0 a1', 'm2 a3']],
    ['attention 0: nothing is before it', { attention: [0], mlp: [] }, []],
    ['the first block and more', { attention: [0, 1], mlp: [0] }, []],
    ['all', { attention: [0, 1, 2, 3], mlp: [0, 1, 2, 3] }, []],
  ])('%s', (_, drops, expected) => expect(refits(plan(drops, 'neighbour'))).toEqual(expected));

  it('stops behind the last that is refit, and names what is left alone', () => {
    const { stretches, leftAlone } = plan({ attention: [0, 2], mlp: [] }, 'neighbour');
    expect(stretches.map(({ stays }) => (stays ? short(stays) : ''))).toEqual(['', 'm0', 'a1', 'm1']);
    expect(leftAlone.map(short)).toEqual(['a0']);
  });
});

describe('all', () => {
  it.each<[string, Drops, string[]]>([
    ['from the neighbour of the first drop on', { attention: [2], mlp: [] }, ['m1 a2', 'm2', 'a3', 'm3']],
    ['attention 0: everything', { attention: [0], mlp: [] }, ['m0', 'a1', 'm1', 'a2', 'm2', 'a3', 'm3']],
    ['the last', { attention: [], mlp: [3] }, ['a3 m3']],
    ['nothing dropped: nothing', nothing, []],
  ])('%s', (_, drops, expected) => expect(refits(plan(drops, 'all'))).toEqual(expected));
});

it('what the model never had is neither dropped nor refit', () => {
  const missing = { attention: [2], mlp: [1] };
  const drops = { attention: [2, 3], mlp: [1] };
  expect(refits(plan(drops, 'neighbour', { missing }))).toEqual(['m2 a3']);
  expect(refits(plan(drops, 'all', { missing }))).toEqual(['m2 a3', 'm3']);
});

it('of a mixture, attentions alone are refit', () => {
  const drops = { attention: [1], mlp: [2] };
  const made = plan(drops, 'all', { canRefit: ({ kind }) => kind === 'attention' });
  expect(refits(made)).toEqual(['a2 m2', 'a3']);
  expect(made.leftAlone.map(short)).toEqual(['a1']);
});
