/** The same for `llm-drop/engine`: tensors and kernels alone. */
import { createEngine } from 'llm-drop/engine';

using engine = await createEngine('reference');
using x = engine.tensor([3, 4], [1, 2]);
using gain = engine.tensor([1, 1]);
using y = engine.rmsNorm(x, { gain, epsilon: 0 });
const [first] = await engine.readFloats(y);
if (Math.abs(first - 3 / Math.sqrt(12.5)) > 1e-6) throw new Error(`expected 0.8485, found ${first}`);
