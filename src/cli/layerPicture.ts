import type { Drops } from '../models/index.js';

/** Layers between two marks of the scale. */
const group = 8;

/** Which modules are there, one sign a layer in groups of eight: `█` is there, `·` is dropped. */
export function layerPicture(layers: number, drops: Drops): string[] {
  const groups = Math.ceil(layers / group);
  const strip = (dropped: readonly number[]): string =>
    Array.from({ length: groups }, (_, g) =>
      Array.from({ length: Math.min(group, layers - g * group) }, (__, i) =>
        dropped.includes(g * group + i) ? '·' : '█',
      ).join(''),
    ).join(' ');
  const marks = Array.from({ length: groups }, (_, g) => String(g * group).padEnd(group))
    .join(' ')
    .trimEnd();
  return [`layer      ${marks}`, `attention  ${strip(drops.attention)}`, `MLP        ${strip(drops.mlp)}`];
}
