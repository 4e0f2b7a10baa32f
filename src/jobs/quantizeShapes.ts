import type { Int4Method } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { tensorNames, type Model, type OpenedModel } from '../models/index.js';
import { checkHead, checkQuantizable, projectionTensors, randomInt4, type GroupOptions } from '../quant/index.js';

/** What decides the form of a quantized model. */
export interface QuantizedForm extends Pick<GroupOptions, 'groupSize' | 'symmetric'> {
  readonly format: Int4Method;
  readonly head: boolean;
}

/** Fails before all work where the format could not hold the model. `withoutHead` says how to leave the head out. */
export function checkShapes(
  opened: OpenedModel,
  model: Model,
  { format, groupSize, symmetric, head: withHead }: QuantizedForm,
  withoutHead = 'leave `head` out',
): void {
  const head = opened.description.head.weight;
  if (withHead && !head)
    throw new UserError("the model's output projection is its embedding, which the formats hold as floats only", {
      hint: withoutHead,
    });
  if (withHead) checkHead(head!);
  const tensors = new Set([...projectionTensors(model), ...(withHead ? tensorNames(head!) : [])]);
  const options = { groupSize: groupSize === -1 ? 128 : groupSize, symmetric } as const;
  checkQuantizable(opened, {
    format,
    groupSize,
    symmetric,
    replaced: (tensor, shape) => (tensors.has(tensor) ? randomInt4(tensor, shape, options) : undefined),
  });
}
