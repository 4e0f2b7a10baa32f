/** Told after each step, such as a row: how many are done. */
export type Progress = (done: number, total: number, unit: string) => void;
