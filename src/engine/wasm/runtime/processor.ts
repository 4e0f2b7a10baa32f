/**
 * What the processor has that plans depend on, where the system tells. A wrong guess costs speed; one of the cache's size
 * also splits sums of floats elsewhere, so that their last bits differ.
 */
import { readFileSync } from 'node:fs';

/**
 * Whether V8 makes one instruction of `i32x4.relaxed_dot_i8x16_i7x16_add_s`: on ARM (sdot), and on x86-64 with AVX-VNNI,
 * which only Linux tells. AVX-512's VNNI is none that V8 uses.
 */
export function hasByteDots(text = textOf): boolean {
  return process.arch === 'arm64' || /^flags\s*:.*\bavx_vnni\b/m.test(text('/proc/cpuinfo'));
}

/** Whether a core's second-level cache holds 1 MiB or more. Where nobody tells, that goes with products of bytes. */
export function hasLargeCache(text = textOf): boolean {
  const size = /^(\d+)K/.exec(text('/sys/devices/system/cpu/cpu0/cache/index2/size'))?.[1];
  return size ? Number(size) >= 1024 : hasByteDots(text);
}

/** Of a file of the system's; empty where there is none. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
