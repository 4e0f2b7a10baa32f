/** Side files in which older programs describe the quantization, each with its method. */
export const quantizationFiles: Readonly<Record<string, string>> = {
  'quantize_config.json': 'gptq',
  'quant_config.json': 'awq',
};

/** Keys of config.json that name the quantization, and the method where they do not say it themselves. */
export const quantizationKeys: Readonly<Record<string, string | undefined>> = {
  quantization_config: undefined,
  // Of compressed-tensors before version 0.6.
  compression_config: 'compressed-tensors',
  // Of MLX, whose layout is its own.
  quantization: 'mlx',
};
