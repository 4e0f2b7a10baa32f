import { shownValue, type Activation } from '../../engine/index.js';
import type { ConfigReader } from '../configReader.js';

const activations: Readonly<Record<string, Activation>> = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
};

/** `hidden_act`; Gemma's files have both, or `hidden_activation` alone, which is then the one that counts. */
export function readActivation(read: ConfigReader): Activation {
  const [plain, gemmas] = [read.value('hidden_act'), read.value('hidden_activation')];
  const name = gemmas ?? plain;
  const found = typeof name === 'string' && Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (!found)
    read.fail(
      `${gemmas === undefined ? 'hidden_act' : 'hidden_activation'} ${shownValue(name)} is not supported`,
      `${Object.keys(activations).join(', ')} are`,
    );
  return found;
}
