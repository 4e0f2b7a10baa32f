// node test/oracle/gptq_layers.mjs MODEL CALIBRATION FILE LAYERS GROUP_SIZE symmetric|asymmetric: for some projections
// of a model, the weight, its inputs' Gram matrix on 8 rows of 512 tokens, and what GPTQ makes of it, as a safetensors
// file for check_gptq.py. Needs a build.
import { loadTokenizer, tensorOfBytes, writeSafetensors } from '../../dist/checkpoint/index.js';
import { createBatch, decodeFloats, dequantizeRows } from '../../dist/engine/index.js';
import { isProjection, layerWeights, loadModel, tensorNames } from '../../dist/models/index.js';
import { gptq, storedFormat } from '../../dist/quant/index.js';
import { calibrationRows } from '../../dist/text/index.js';
import { InputGrams } from '../../dist/walk/index.js';

const [folder, calibration, file, count, groupSize, grid] = process.argv.slice(2);
const options = { groupSize: Number(groupSize), symmetric: grid === 'symmetric', damping: 0.01, actOrder: true };
const { rows } = await calibrationRows(await loadTokenizer(folder), [calibration], { samples: 8, length: 512 });
const model = await loadModel(folder);
const { engine, layers, parameters } = model;

// Every kind of projection in turn, from layers that lie evenly.
const chosen = Array.from({ length: Number(count) }, (_, i) => {
  const layer = Math.floor((i * layers.length) / Number(count));
  const projections = layerWeights(model.description.layers[layer]).filter(isProjection);
  return projections[i % projections.length];
});

const grams = layers.map(
  ({ index }) =>
    new InputGrams(
      engine,
      chosen.filter(({ layer }) => layer === index).map(({ projection }) => projection),
    ),
);
for (const row of rows) {
  const scope = engine.scope();
  model.forward(createBatch([row]), { observer: { input: (event) => grams[event.layer].observer.input(event) } });
  scope.dispose();
}

const tensors = [];
const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
for (const projected of chosen) {
  const gram = await grams[projected.layer].take(projected.projection);
  const [tensor] = tensorNames(projected);
  const source = parameters.source(tensor);
  const [out, width] = source.shape;
  const weight = decodeFloats(await source.readRows(0, out), source.dtype);
  const rounded = dequantizeRows(gptq(weight, width, gram, options, tensor), width, storedFormat(options));
  tensors.push(
    tensorOfBytes(`${tensor}:weight`, 'F32', [out, width], bytesOf(weight)),
    tensorOfBytes(`${tensor}:gram`, 'F64', [width, width], bytesOf(gram)),
    tensorOfBytes(`${tensor}:rounded`, 'F32', [out, width], bytesOf(rounded)),
  );
}
await writeSafetensors(file, tensors);
await model.close();
