/**
 * The command lines that both checkouts run, in this order, on each model. `{model}` is its folder, `{whole}` the one
 * that holds every weight, `{memory}` what fits a layer but not all, `{out}` a folder of the step's own, `{NAME}` that of an earlier step.
 */

const sizes = '--samples 4 --length 48';
const text = `--calibration a.txt ${sizes}`;
const heldOut = '--held-out 2';
const measured = `${text} ${heldOut}`;

/** All stages that a model can go through: what is quantized is not refit again, and vllm has no mixture of experts. */
const recipe = ({ config, made }) => ({
  calibration: { files: ['a.txt'], samples: 4, length: 48, heldOut: 2 },
  drop: { target: 'joint', count: 3 },
  ...(made?.[0] === 'quantize'
    ? {}
    : {
        compensate: { mode: 'all' },
        quantize: { method: 'gptq', format: 'compressed-tensors', groupSize: 32 },
      }),
  export: [{ format: 'gguf' }, { format: 'hf', zero: true }, ...(config.num_local_experts ? [] : [{ format: 'vllm' }])],
});

/**
 * [step, arguments, how]. A step's first word is its command. `people`: what it prints without --json is compared too;
 * `models`: those alone that it runs on.
 * @type {[string, string, { people?: boolean, recipe?: (model: object) => object, models?: string[] }?][]}
 */
const lines = [
  ['inspect', 'inspect {model}', { people: true }],

  ['score', `score {model} ${text} --out {out}/importance.json`, { people: true }],
  [
    'score angular',
    `score {model} --metric angular --calibration b.jsonl a.txt --field story --seed 3 --gap 1,2 ${sizes}`,
  ],
  ['score relative-norm', `score {model} --metric relative-norm ${text}`],
  ['score gate-norm', `score {model} --metric gate-norm --out {out}/importance.json`, { people: true }],
  ['score int4', `score {model} ${text} --int4`],
  ['score streamed', `score {model} ${text} --max-memory {memory} --gap 1,2 --out {out}/importance.json`],
  ['score shard 1', `score {model} ${text} --shard 1/2 --out {out}/importance.json`],
  ['score shard 2', `score {model} ${text} --shard 2/2 --out {out}/importance.json`],
  ['merge', 'merge {score shard 1}/importance.json {score shard 2}/importance.json --out {out}/importance.json'],

  [
    'drop attention',
    'drop {model} --importance {score}/importance.json --target attention --count 2 --out {out}/model',
  ],
  ['drop mlp', `drop {model} ${measured} --target mlp --count 2 --keep 0 --out {out}/model`, { people: true }],
  ['drop joint', `drop {model} ${measured} --target joint --count 3 --out {out}/model`],
  ['drop block', `drop {model} ${measured} --target block --count 1 --metric angular --out {out}/model`],
  ['drop consecutive', `drop {model} ${measured} --target block --count 2 --consecutive --out {out}/model`],
  [
    'drop consecutive as LLM-Drop',
    `drop {model} ${measured} --target block --count 2 --consecutive --compat llm-drop --out {out}/model`,
  ],
  ['drop greedy-loss', `drop {model} ${measured} --target attention --count 2 --search greedy-loss --out {out}/model`],
  ['drop greedy-kl', `drop {model} ${measured} --target joint --count 2 --search greedy-kl --out {out}/model`],
  ['drop iterations', `drop {model} ${measured} --target joint --count 2 --iterations 2 --out {out}/model`],
  ['drop random', `drop {model} ${measured} --metric random --seed 5 --target mlp --count 2 --out {out}/model`],
  ['drop gate-norm', 'drop {model} --metric gate-norm --target attention --count 2 --out {out}/model'],
  ['drop lists', 'drop {model} --drop-attn 1-2 --drop-mlp 2 --out {out}/model'],
  ['drop config-only', 'drop {model} --drop-attn 1-2 --drop-mlp 2 --config-only --out {out}/model'],
  ['drop compensate', `drop {model} ${measured} --target joint --count 2 --compensate all --out {out}/model`],

  ['eval', 'eval {model} --text c.txt b.jsonl --field story --rows 4 --length 48', { people: true }],
  ['eval lists', 'eval {model} --text a.txt --rows 4 --length 48 --drop-attn 1 --drop-mlp 0,2'],
  ['eval int4', 'eval {model} --text a.txt --rows 4 --length 48 --int4 --head bf16'],
  ['eval dropped', 'eval {drop joint}/model --text a.txt --rows 4 --length 48'],
  ['logits', 'logits {model} --tokens tokens.json --out {out}/logits.safetensors', { people: true }],
  ['logits lists', 'logits {model} --tokens tokens.json --drop-attn 0 --drop-mlp 1 --out {out}/logits.safetensors'],
  ['logits int4', 'logits {model} --tokens tokens.json --int4 --asymmetric --out {out}/logits.safetensors'],
  ['logits int4-exact', 'logits {model} --tokens tokens.json --int4 --int4-exact --out {out}/logits.safetensors'],
  ['logits reference', 'logits {model} --tokens tokens.json --backend reference --out {out}/logits.safetensors'],

  [
    'sweep',
    `sweep {model} --calibration a.txt --text c.txt ${sizes} --rows 3 --counts 1,2 --speed-rounds 0 --out {out}/sweep.json --budget parameters=0.9`,
    { people: true },
  ],
  [
    'sweep greedy-kl',
    `sweep {model} --calibration a.txt ${sizes} --rows 3 --targets attention,mlp --counts 1,2 --search greedy-kl --speed-rounds 1`,
  ],

  ['quantize rtn', 'quantize {model} --method rtn --group-size 32 --out {out}/model', { people: true }],
  [
    'quantize rtn head',
    `quantize {model} --method rtn --format gptq --clip search --quantize-head --group-size -1 --text a.txt --length 48 ${heldOut} --out {out}/model`,
  ],
  ['quantize gptq', `quantize {model} ${measured} --method gptq --group-size 32 --expert-floor 8 --out {out}/model`],
  [
    'quantize awq',
    `quantize {model} ${measured} --method awq --format awq --group-size 32 --expert-floor 8 --out {out}/model`,
  ],
  ['quantize dropped', `quantize {drop lists}/model ${measured} --format gptq --group-size 32 --out {out}/model`],
  ['eval quantized', 'eval {quantize gptq}/model --text a.txt --rows 4 --length 48'],
  ['generate quantized', 'generate {quantize awq}/model --prompt Once --max-tokens 12'],

  ['compensate all', `compensate {drop lists}/model --base {whole} ${measured} --out {out}/model`, { people: true }],
  [
    'compensate neighbour',
    `compensate {drop lists}/model --base {whole} ${measured} --mode neighbour --alpha 0.1 --out {out}/model`,
  ],
  ['compress', 'compress {model} --recipe {out}/recipe.json --out {out}/model', { people: true, recipe }],
  ['compress again', 'compress {model} --recipe {compress}/model/recipe.json --out {out}/model'],

  ['export llm-drop', 'export {model} --to llm-drop --out {out}/model'],
  ['export hf', 'export {drop consecutive}/model --to hf --out {out}/model', { people: true }],
  ['export hf bf16', 'export {model} --to hf --type bf16 --zero --out {out}/model'],
  ['export hf zero', 'export {drop lists}/model --to hf --zero --out {out}/model'],
  ['export vllm', 'export {drop lists}/model --to vllm --out {out}/model'],
  ['export vllm f16', 'export {drop joint}/model --to vllm --type f16 --out {out}/model'],
  ['export gguf', 'export {drop lists}/model --to gguf --out {out}/model.gguf'],
  ['export gguf whole', 'export {model} --to gguf --out {out}/model.gguf'],
  ['export gguf zero f16', 'export {drop joint}/model --to gguf --zero --type f16 --out {out}/model.gguf'],
  ['export gguf q8_0', 'export {drop joint}/model --to gguf --type q8_0 --out {out}/model.gguf'],
  ['export gguf q4_0', 'export {drop attention}/model --to gguf --type q4_0 --out {out}/model.gguf'],
  ['export gguf q4_1', 'export {drop block}/model --to gguf --type q4_1 --out {out}/model.gguf'],
  ['export gguf quantized', 'export {quantize rtn}/model --to gguf --out {out}/model.gguf'],
  ['export vllm quantized', 'export {quantize dropped}/model --to vllm --out {out}/model'],

  ['generate', 'generate {model} --prompt Once --max-tokens 16', { people: true }],
  ['generate seed', 'generate {model} --prompt Once --max-tokens 16 --temperature 1.1 --top-k 40 --top-p 0.9 --seed 7'],
  ['generate int4', 'generate {model} --prompt Once --max-tokens 16 --int4 --drop-attn 1'],

  ...[
    'drop {model} --importance {score}/importance.json --target attention --count 9 --out {out}/model',
    'drop {model} --metric gate-norm --target mlp --count 1 --out {out}/model',
    'drop {model} --search greedy-kl --target attention --count 1 --out {out}/model',
    'drop {model} --target mlp --count 1 --consecutive --calibration a.txt --out {out}/model',
    'drop {model} --drop-attn 7 --out {out}/model',
    'drop {model} --drop-attn 1 --iterations 2 --out {out}/model',
    'score {model} --metric gate-norm --calibration a.txt',
    'score {model} --calibration none.txt',
    'quantize {model} --method gptq --out {out}/model',
    'quantize {model} --method rtn --format awq --group-size 128 --out {out}/model',
    'compensate {model} --calibration a.txt --out {out}/model',
    'compensate {drop lists}/model --calibration a.txt --out {out}/model',
    'export {drop lists}/model --to hf --out {out}/model',
    'export {model} --to hf --type q8_0 --out {out}/model',
    'sweep {model} --calibration a.txt --resume',
    'compress {model} --recipe a.txt --out {out}/model',
  ].map((line, i) => [`errors ${i + 1}`, line, { models: ['llama'] }]),
];

const folderOf = (step, json = true) => `${step.replaceAll(' ', '-')}${json ? '' : '-for-people'}`;

/** `folder`: the step's own, below the working directory. `json`: whether it is run with --json. */
export const steps = lines.flatMap(([step, line, { people = false, recipe, models } = {}]) =>
  (people ? [true, false] : [true]).map((json) => {
    const folder = folderOf(step, json);
    const filled = line.replace(/\{([^}]+)\}/g, (mark, of) =>
      of === 'out' ? folder : lines.some(([earlier]) => earlier === of) ? folderOf(of) : mark,
    );
    return {
      step,
      name: json ? step : `${step}, for people`,
      command: step.split(' ')[0],
      folder,
      recipe,
      models,
      json,
      words: [...filled.split(' '), '--threads', '2', ...(json ? ['--json'] : [])],
    };
  }),
);
