/** What failed of a host's networks. `problems` has one line for each network, router or helper; the others are as they should be. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[], options?: { cause?: unknown }) {
    super(problems.join('; '), options);
    this.problems = problems;
  }
}
