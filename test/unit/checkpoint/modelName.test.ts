import { expect, it } from 'vitest';
import { modelName } from '../../../src/checkpoint/index.js';

it.each([
  ['models/tiny-stories/', 'tiny-stories'],
  [`/c/hub/models--org--my-name/snapshots/${'0a'.repeat(20)}`, 'org/my-name'],
  [`/c/hub/models--org--my-name/snapshots/${'0a'.repeat(20)}/more`, 'more'],
  ['/c/hub/models--org--my-name/snapshots/other', 'other'],
])('a model in %s is called %s', (folder, name) => expect(modelName(folder)).toBe(name));
