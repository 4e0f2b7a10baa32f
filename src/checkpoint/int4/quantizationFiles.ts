/** Files beside config.json in which older programs name the quantization, and the method that they go with. */
export const quantizationFiles: Readonly<Record<string, string>> = {
  'quantize_config.json': 'gptq',
  'quant_config.json': 'awq',
};
