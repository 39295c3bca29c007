/**
 * The process that the conformance suite kills: opens a driver, makes and starts one guest, says so, and waits.
 * Arguments: module of the driver, name of its factory, instances folder, specification as JSON.
 */

import type { Driver, GuestSpec } from './driver.ts';

const [moduleUrl = '', factory = '', instancesDir = '', specText = ''] = process.argv.slice(2);
// The suite names one of the two factories, which have this much of their options in common.
const module = (await import(moduleUrl)) as Record<string, (options: { instancesDir: string }) => Driver>;
const driver = module[factory]?.({ instancesDir });
if (!driver) throw new Error(`${moduleUrl} has no ${factory}`);
const spec = JSON.parse(specText) as GuestSpec;

process.stdout.write('ready\n');
await driver.create(spec);
process.stdout.write('created\n');
await driver.start(spec.id);
process.stdout.write('started\n');
setInterval(() => undefined, 60_000); // stays until it is killed, whatever the driver keeps open
