import type { ExpertTally, Fusion, GatedProjections, MoeSpec, Operand, PackedWeight } from '../../backend.js';
import { elementLanes } from '../compiler/kernel.js';
import { combine, norms, route, tally } from '../kernels/mixture.js';
import { sortVisits } from '../kernels/visits.js';
import type { Machine } from '../runtime/machine.js';
import type { Block } from '../runtime/memory.js';
import { blockFloats } from './matrices.js';
import { project, projectVisits } from './product.js';
import { gateOf, withInput } from './transformer.js';

/** Experts are chosen, and visits sorted, on the device: nobody waits to learn which. */
export function moe(
  machine: Machine,
  x: Operand,
  router: PackedWeight,
  { gate, up, down, activation }: GatedProjections,
  { topK, normalise, scoring = 'softmax', scale = 1 }: MoeSpec,
  { norm, add }: Fusion,
  counted?: ExpertTally,
): Block {
  const [rows, width] = x.shape;
  const [experts] = router.shape;
  const inner = gate.weight.shape[1];
  const visits = rows * topK;
  return withInput(machine, x, norm, (input) => {
    using logits = machine.take(rows * experts);
    project(machine, input, { weight: router }, logits);
    using chosen = machine.take(visits);
    using weights = machine.take(visits);
    machine.run(
      route(scoring, normalise),
      { logits, experts: chosen, weights },
      { width: experts, topK, scale, count: rows },
      Math.ceil(rows / elementLanes),
    );
    using opened = machine.take(visits * inner);
    using lifted = machine.take(visits * inner);
    using order = machine.take(visits);
    using starts = machine.take(experts + 1);
    // With some visits an expert, it is worth to read its weights for all of them at once.
    const many = visits > experts * machine.plan.mostRows;
    if (many) machine.run(sortVisits, { experts: chosen, order, starts }, { visits }, experts);
    const all = { chosen, count: visits, experts, sorted: many ? { order, starts } : undefined };
    projectVisits(machine, input, topK, gate, opened, all);
    projectVisits(machine, input, topK, up, lifted, all);
    using hidden = gateOf(machine, opened, lifted, visits * inner, activation);
    using given = machine.take(visits * width);
    projectVisits(machine, blockFloats(hidden, visits, inner), 1, down, given, all);
    if (counted) {
      using lengths = machine.take(visits);
      machine.run(norms, { x: given, y: lengths }, { width }, visits);
      const sums = counted.into as Block;
      machine.run(
        tally,
        { experts: chosen, weights, lengths, sums },
        { visits, index: counted.index, zero: 0 },
        visits > 0 ? experts : 0,
      );
    }
    const y = machine.take(rows * width);
    machine.run(
      combine(Boolean(add)),
      { given, weights, added: add ?? given, y },
      { width, topK, count: rows * width },
      Math.ceil((rows * width) / elementLanes),
    );
    return y;
  });
}
