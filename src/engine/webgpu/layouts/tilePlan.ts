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
  /** Workgroups that share the keys of a query, where there are few queries. */
  readonly keySplits: number;
  /** float16 weights by the driver's instruction, or by integers, which no driver rounds small numbers in. */
  readonly halves: 'native' | 'bits';
  /** How lanes that share columns add their sums. */
  readonly folds: 'memory' | 'subgroups';
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
  keySplits: 2,
  halves: 'bits',
  folds: 'memory',
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
  keySplits: 8,
  halves: 'native',
};

/** The same where lanes add by subgroups. */
export const subgroupPlan: TilePlan = { ...widePlan, name: 'subgroups', folds: 'subgroups' };

/** Shared memory that a plan's tiles take, in bytes. */
export const sharedBytes = ({ rowsEach, columnsEach, rowLanes, columnLanes, steps }: TilePlan): number =>
  16 * steps * (rowsEach * rowLanes + columnsEach * columnLanes);

/** What an adapter says of itself. */
export interface AdapterAbilities {
  readonly limits: {
    readonly maxComputeInvocationsPerWorkgroup: number;
    readonly maxComputeWorkgroupStorageSize: number;
  };
  readonly features: ReadonlySet<string>;
  /** Whether it is a processor that does the work of a GPU. */
  readonly software: boolean;
}

/** The plans that an adapter takes, the fastest first; the plain one is the last, and all that a processor is given. */
export function plansFor({ limits, features, software }: AdapterAbilities): readonly TilePlan[] {
  const fits = (plan: TilePlan): boolean =>
    plan.rowLanes * plan.columnLanes <= limits.maxComputeInvocationsPerWorkgroup &&
    sharedBytes(plan) <= limits.maxComputeWorkgroupStorageSize &&
    (plan.folds === 'memory' || features.has('subgroups'));
  return [...(software ? [] : [subgroupPlan, widePlan].filter(fits)), plainPlan];
}
