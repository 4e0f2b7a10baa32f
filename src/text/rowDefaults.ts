/** What rows are where nobody says: LLM-Drop's calibration, and so many to measure the loss on. */
export const rowDefaults = {
  /** Rows to calibrate on. */
  samples: 256,
  /** Tokens a row; less where the model's context is shorter. */
  length: 2048,
  /** Rows to measure the loss on, where the text has so many. */
  heldOut: 16,
} as const;
