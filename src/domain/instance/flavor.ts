/** A flavor as a server remembers it: what it had when the server was launched, whatever becomes of the flavor. */
export interface FlavorSnapshot {
  /** First, since lists are filtered by how the stored text begins. */
  readonly id: string;
  readonly name: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskGib: number;
  readonly ephemeralGib: number;
  readonly swapMib: number;
  readonly extraSpecs: Readonly<Record<string, string>>;
}
