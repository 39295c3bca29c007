/**
 * The process that the conformance suite kills: opens a driver, makes and starts one guest, does one more thing with it if
 * told to, says how far it is, and waits. Arguments: module of the driver, name of its factory, instances folder,
 * specification, and the deed (`"suspend"`, a specification for `reconfigure`, the folder of another host for `migrate`, or null),
 * the last two as JSON.
 */

import type { Driver, GuestSpec } from '../driver.ts';

/** The lines it prints, in their order. */
export type ChildStage =
  | 'ready'
  | 'created'
  | 'started'
  | 'suspending'
  | 'suspended'
  | 'reconfigured'
  | 'migrating'
  | 'migrated';

/** What it does with a guest beyond making it, or starting it. */
export type ChildDeed = 'suspend' | { readonly migrateTo: string } | GuestSpec;

const say = (stage: ChildStage) => process.stdout.write(`${stage}\n`);

const [moduleUrl = '', factory = '', instancesDir = '', specText = '', deedText = ''] = process.argv.slice(2);
// The suite names one of the two factories, which have this much of their options in common.
const module = (await import(moduleUrl)) as Record<string, (options: { instancesDir: string }) => Driver>;
const opened = (folder: string) => {
  const driver = module[factory]?.({ instancesDir: folder });
  if (!driver) throw new Error(`${moduleUrl} has no ${factory}`);
  return driver;
};
const driver = opened(instancesDir);
const spec = JSON.parse(specText) as GuestSpec;
const deed = JSON.parse(deedText) as ChildDeed | null;

say('ready');
await driver.create(spec);
say('created');
if (deed !== null && deed !== 'suspend' && 'id' in deed) {
  await driver.reconfigure(deed);
  say('reconfigured');
} else {
  await driver.start(spec.id);
  say('started');
}
const saying = (stage: ChildStage) => {
  let told = false;
  const onProgress = () => {
    if (!told) say(stage);
    told = true;
  };
  return { signal: new AbortController().signal, onProgress };
};
if (deed === 'suspend') {
  await driver.suspend(spec.id, saying('suspending'));
  say('suspended');
} else if (deed !== null && 'migrateTo' in deed) {
  const target = opened(deed.migrateTo);
  await target.receive(spec);
  await driver.migrate(spec.id, (stream) => target.openIncoming(spec.id, stream), saying('migrating'));
  say('migrated');
}
setInterval(() => undefined, 60_000); // stays until it is killed, whatever the driver keeps open
