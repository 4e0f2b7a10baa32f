import { shownValue } from '../engine/index.js';
import type { ConfigReader } from './configReader.js';
import type { ModelDescription } from './description.js';
import { rawRope, ropeFrequencies, type RopeParameters } from './rope.js';

/** Refuses rotary keys, each in its range, that together give angles which are not finite in float32. */
export function checkAngles(read: ConfigReader, { config, layers }: ModelDescription): void {
  const ways = new Map<RopeParameters, number>();
  for (const { attention } of layers)
    if (attention.rope) ways.set(attention.rope, attention.rotaryDim ?? attention.headDim);
  for (const [rope, size] of ways) {
    if (rope.type === 'longrope')
      for (const list of [rope.shortFactors, rope.longFactors])
        if (list.length !== size / 2)
          read.fail(`the rope scaling has ${list.length} factors, but ${size / 2} pairs of a head's values turn`);
    const { maxPositionEmbeddings: positions } = config;
    for (const length of [1, positions]) {
      const { inverse, factor } = ropeFrequencies(rope, size, length);
      if (isFinite(factor) && inverse.every((frequency) => isFinite(frequency) && isFinite(frequency * positions)))
        continue;
      const keys = Object.entries(rawRope(rope)).map(([key, value]) => `${key} ${said(value)}`);
      read.fail(`the rotary angles are not finite: ${keys.join(', ')}`);
    }
  }
}

const isFinite = (value: number): boolean => Number.isFinite(Math.fround(value));

const said = (value: unknown): string => (Array.isArray(value) ? shownValue(value) : String(value));
