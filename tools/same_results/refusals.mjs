/** What models refuse, and why. Any other failure is one, even where both checkouts share it. */

const noExperts = {
  'nemotron-nas has no mixture of experts': ['export vllm', 'export vllm f16', 'export vllm quantized'],
};

const quantized = {
  'it is quantized already': ['rtn', 'rtn head', 'gptq', 'awq', 'dropped'].map((how) => `quantize ${how}`),
  'a refit needs floats': ['drop compensate', 'compensate all'],
  'the step that it reads was refused': [
    'eval quantized',
    'generate quantized',
    'export gguf quantized',
    'export vllm quantized',
  ],
};

const ofModels = {
  biased: { 'its head is its embedding': ['quantize rtn head'] },
  mixtral: noExperts,
  'mixtral-fused': noExperts,
  dropped: { 'a plain checkpoint has every attention and MLP': ['export hf'] },
  quantized: { ...quantized, 'a refit needs floats': [...quantized['a refit needs floats'], 'compensate neighbour'] },
  'mixtral-int4': { ...quantized, ...noExperts },
};

/** Why a model refuses a step, or undefined. */
export function refusalOf({ step, command }, model) {
  if (command === 'errors') return 'the command line is wrong';
  return Object.entries(ofModels[model.name] ?? {}).find(([, steps]) => steps.includes(step))?.[0];
}
