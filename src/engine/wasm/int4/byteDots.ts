import { readFileSync } from 'node:fs';

/**
 * Whether V8 makes one instruction of `i32x4.relaxed_dot_i8x16_i7x16_add_s`: on ARM (sdot), and on x86-64 with AVX-VNNI,
 * which only Linux tells. A wrong guess costs speed, not results.
 */
export function hasByteDots(): boolean {
  if (process.arch === 'arm64') return true;
  try {
    return /^flags\s*:.*\bavx_vnni\b/m.test(readFileSync('/proc/cpuinfo', 'latin1'));
  } catch {
    return false;
  }
}
