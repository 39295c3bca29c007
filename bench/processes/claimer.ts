/**
 * One of several schedulers on a PostgreSQL: from the given moment on it makes so many claims, one after the other, and prints how long
 * each took, in ms, as JSON. Arguments: address of the database, claims, epoch ms to begin at.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openPostgres } from '#db/postgres.ts';
import { claimer } from '../lib/claim.ts';

const [url = '', claims = '0', at = '0'] = process.argv.slice(2);
const { claim, close } = claimer(await openPostgres(url));
await claim(); // reads all hosts
await delay(Number(at) - Date.now());
const times: number[] = [];
for (let count = 0; count < Number(claims); count++) times.push(await claim());
process.stdout.write(JSON.stringify(times));
await close();
