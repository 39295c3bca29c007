/** Entries of bridges and tunnels, for `bridge -batch`. Pure. */

/** The address of a tunnel's entry for everybody who is not known otherwise. */
const EVERYBODY = '00:00:00:00:00:00';

/** Of `bridge -json fdb show dev …`. */
export interface FoundEntry {
  readonly mac: string;
  readonly dst?: string;
}

/** What goes to everybody goes to exactly these hosts. */
export function peerLines(device: string, peers: readonly string[], found: readonly FoundEntry[]): string[] {
  const there = found.flatMap(({ mac, dst }) => (mac === EVERYBODY && dst !== undefined ? [dst] : []));
  const line = (verb: string, peer: string) => `fdb ${verb} ${EVERYBODY} dev ${device} dst ${peer} self permanent`;
  return [
    ...there.filter((peer) => !peers.includes(peer)).map((peer) => line('del', peer)),
    ...peers.filter((peer) => !there.includes(peer)).map((peer) => line('append', peer)),
  ];
}

/**
 * Forgets who was learnt to be on hosts that are no peers. Whom somebody keeps speaking to is remembered for ever, so what died with its host
 * would be looked for there although it lives elsewhere.
 */
export function strayLines(device: string, peers: readonly string[], found: readonly FoundEntry[]): string[] {
  return found.flatMap(({ mac, dst }) =>
    mac !== EVERYBODY && dst !== undefined && !peers.includes(dst)
      ? [`fdb del ${mac} dev ${device} dst ${dst} self`]
      : [],
  );
}

/** A MAC is behind this port of the bridge, whoever says otherwise. */
export function neighbourLine({ mac, device }: { readonly mac: string; readonly device: string }): string {
  return `fdb replace ${mac} dev ${device} master static`;
}
