/** Routes of a namespace: those that were made here, and the lines that make them as wanted. Pure. */

/** Marks routes as made here: a number that no routing daemon has. */
export const OURS = 'proto 109';

/** Of `ip -json route show proto 109`. */
export interface FoundRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
}

/** Wanted ones as `10.9.0.0/16 via 10.1.0.9` or `10.9.0.0/16 dev br0 scope link`. All are made again: a device that was down has lost its. */
export function routeLines(wanted: readonly string[], found: readonly FoundRoute[]): string[] {
  const extra = found.map(wordsOf).filter((words) => !wanted.includes(words));
  return [
    ...extra.map((words) => `route del ${words} ${OURS}`),
    ...wanted.map((words) => `route replace ${words} ${OURS}`),
  ];
}

function wordsOf({ dst, gateway, dev }: FoundRoute): string {
  const six = (gateway ?? dst).includes(':');
  const any = six ? '::/0' : '0.0.0.0/0';
  const destination = dst === 'default' ? any : dst.includes('/') ? dst : `${dst}/${six ? 128 : 32}`;
  return gateway === undefined ? `${destination} dev ${dev} scope link` : `${destination} via ${gateway}`;
}
