/** The least multiple of `to` that is `value` or more. */
export const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;
