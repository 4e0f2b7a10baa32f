import { openModel } from '../../models/index.js';
import { join } from 'node:path';
import { exists } from '../../checkpoint/index.js';
import { compress as runRecipe, exampleRecipe, parseRecipe } from '../../compress/index.js';
import { UserError } from '../../engine/index.js';
import { command, computeOptionsOf, refuseRounding } from '../command.js';
import { describeCompression } from '../compressText.js';
import { readJson } from '../../jobs/jsonFiles.js';
import { flag, overwriteOption, text } from '../options.js';
import { builtInModel } from '../package.js';
import { maxMemoryOption } from '../scale.js';

export const compress = command('compress', 'Drop, compensate, quantize and export, as one recipe says', {
  description:
    'A recipe is a JSON file with any of drop, compensate, quantize and export; --example prints one to start from. ' +
    'The loss is measured before and after each stage, on rows that no stage has seen. The complete recipe is saved as ' +
    'recipe.json in --out, with fingerprints of the model and the texts: with it, the same comes out again. An ' +
    'interrupted run leaves what is finished in OUT.compress, and the same command line continues it; after a change of ' +
    'the recipe, from where it changed.',
  defaultModel: () => builtInModel,
  options: {
    recipe: text('what to do', 'file'),
    out: text('folder to write to: the model, recipe.json, compress_report.json, exports', 'dir'),
    example: flag('print a recipe to start from, and do nothing'),
    maxMemory: maxMemoryOption,
    overwrite: overwriteOption,
  },
  examples: [
    ['compress --example > recipe.json', 'a recipe for the built-in model, to be changed at will'],
    ['compress --recipe recipe.json --out small', 'the built-in model by that recipe'],
    ['compress Llama-3.2-1B --recipe small/recipe.json --out again', 'the same as before, bit for bit but for dates'],
    [
      `compress Llama-3.2-1B --out small --recipe /dev/stdin <<'END'
  {
    "calibration": { "files": ["c4.jsonl"], "samples": 128, "length": 512, "heldOut": 16 },
    "drop": { "target": "attention", "count": 4 },
    "compensate": { "mode": "all" },
    "quantize": { "method": "gptq", "format": "compressed-tensors", "groupSize": 128 },
    "export": [{ "to": "gguf" }, { "to": "vllm" }]
  }
  END`,
      'every stage; each may be left out',
    ],
  ],
  run: async (o, ui) => {
    refuseRounding(o, 'a recipe says how weights are quantized');
    if (o.example) return ui.show(await exampleFor(o.model), (recipe) => [JSON.stringify(recipe, null, 2)]);
    if (o.recipe === undefined)
      throw new UserError('compress needs --recipe <file>', { hint: 'llm-drop compress --example prints one' });
    if (o.out === undefined) throw new UserError('compress needs --out <dir>');
    const recipe = parseRecipe(await readJson(o.recipe), o.recipe);
    const result = await runRecipe(o.model, recipe, {
      ...{ out: o.out, overwrite: o.overwrite, maxMemory: o.maxMemory, recipeFile: o.recipe },
      ...computeOptionsOf(o),
      ...ui.job,
    });
    ui.show(result, describeCompression);
  },
});

/** With the text beside the model, as the built-in one has it. */
async function exampleFor(model: string): Promise<object> {
  await using source = await openModel(model);
  const beside = join(model, 'calibration.txt');
  const file = (await exists(beside)) ? beside : 'calibration.txt';
  return exampleRecipe([file], source.config.numHiddenLayers);
}
