/**
 * What tile plans need to know of the processor, if the system tells. A wrong guess costs speed; a wrong size of the
 * cache also splits sums of floats elsewhere, so that their last bits differ.
 */
import type { Processor } from '../../host.js';
import { host } from '../../hosts/index.js';

/**
 * Whether V8 makes one instruction of `i32x4.relaxed_dot_i8x16_i7x16_add_s`: on ARM (sdot), and on x86-64 with AVX-VNNI,
 * which only Linux tells. AVX-512's VNNI is none that V8 uses.
 */
export const hasByteDots = (processor: Processor = host.processor): boolean =>
  processor.architecture === 'arm64' || processor.flags().has('avx_vnni');

/**
 * Whether a core's second-level cache holds 1 MiB or more. If the system does not tell, processors that have products
 * of bytes are taken to.
 */
export function hasLargeCache(processor: Processor = host.processor): boolean {
  const bytes = processor.secondLevelCacheBytes();
  return bytes ? bytes >= 2 ** 20 : hasByteDots(processor);
}
