/** How the matrix kernels divide their work: data, chosen by what an adapter allows. */
export interface TilePlan {
  readonly name: string;
  /** Rows and columns of the result that a workgroup computes, each lane `rowsEach` x `columnsEach` of them. */
  readonly rowsEach: number;
  readonly columnsEach: number;
  /** Lanes of a tile in each direction. */
  readonly rowLanes: number;
  readonly columnLanes: number;
  /** Steps of four elements of the inner axis that lie in shared memory at a time. */
  readonly steps: number;
  /** Up to so many rows, lanes share a column instead: each takes a part of the inner axis. */
  readonly mostRows: number;
  /** Lanes that share columns, how many columns they take at once, and how many rows. */
  readonly sharingLanes: number;
  readonly sharedColumns: 4;
  readonly sharedRows: number;
  /** float16 weights by the driver's instruction, or by integers, which no driver rounds small numbers in. */
  readonly halves: 'native' | 'bits';
}

/** What every adapter can do: 256 lanes, 16 KiB of shared memory. */
export const plainPlan: TilePlan = {
  name: 'plain',
  rowsEach: 2,
  columnsEach: 2,
  rowLanes: 8,
  columnLanes: 8,
  steps: 4,
  mostRows: 4,
  sharingLanes: 64,
  sharedColumns: 4,
  sharedRows: 1,
  halves: 'bits',
};

/** Tiles of 64 x 64: each element that lies in shared memory is used 64 times. */
export const widePlan: TilePlan = {
  ...plainPlan,
  name: 'wide',
  rowsEach: 4,
  columnsEach: 4,
  rowLanes: 16,
  columnLanes: 16,
  mostRows: 8,
  sharedRows: 4,
  halves: 'native',
};

/** Shared memory that a plan's tiles take, in bytes. */
export const sharedBytes = ({ rowsEach, columnsEach, rowLanes, columnLanes, steps }: TilePlan): number =>
  16 * steps * (rowsEach * rowLanes + columnsEach * columnLanes);

/** What an adapter says of its workgroups. */
export interface WorkgroupLimits {
  readonly maxComputeInvocationsPerWorkgroup: number;
  readonly maxComputeWorkgroupStorageSize: number;
}

/** The plans that an adapter takes, the fastest first; the plain one is the last, and all that a processor is given. */
export const plansFor = (limits: WorkgroupLimits, software: boolean): readonly TilePlan[] =>
  [widePlan, plainPlan].filter(
    (plan) =>
      plan === plainPlan ||
      (!software &&
        plan.rowLanes * plan.columnLanes <= limits.maxComputeInvocationsPerWorkgroup &&
        sharedBytes(plan) <= limits.maxComputeWorkgroupStorageSize),
  );
