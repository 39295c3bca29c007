/**
 * What a benchmark reports: rows of one table. Figures are text with their unit, since rows measure different things; the
 * ratio and whether the goal is met are what counts across machines.
 */

/** One line of the table. */
export interface Row {
  readonly what: string;
  readonly ours: string;
  /** Measured in the same run, interleaved with ours; empty where the goal is absolute or the row only informs. */
  readonly baseline?: string;
  /** Ours against the baseline, in the sense that the goal is worded in. */
  readonly ratio?: number;
  readonly goal?: string;
  /** Undefined: the row has no goal. */
  readonly met?: boolean;
  /** One line: how it is measured. */
  readonly how: string;
}

/** What a benchmark may use. */
export interface BenchContext {
  /** Fewer rounds and smaller data: the shape of the figures, not their last digit. */
  readonly quick: boolean;
  /** An empty folder of this benchmark, removed afterwards. */
  readonly scratch: string;
  /** One line of what is being done, for whoever waits. */
  readonly say: (text: string) => void;
}

/** One group of rows, in a file of its own. */
export interface Benchmark {
  readonly name: string;
  readonly run: (context: BenchContext) => Promise<readonly Row[]>;
}
