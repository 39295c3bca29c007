/** What the steps of all operations may use: a few ports, handed in by the conductor. */
import type { computeContract } from '#contracts/compute.ts';
import type { Contract, InputOf, OutputOf } from '#contracts/contract.ts';
import type { schedulerContract } from '#contracts/scheduler.ts';
import { operationsOver, type StepContext } from '#journal/define.ts';

interface AskOptions {
  readonly key?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

/** A role as a step sees it: its contract's methods. */
export type Asks<C extends Contract> = {
  readonly [Name in keyof C['methods']]: (
    input: InputOf<C['methods'][Name]>,
    options?: AskOptions,
  ) => Promise<OutputOf<C['methods'][Name]>>;
};

/** An image record to be made for a copy of a disk. */
export interface NewSnapshotImage {
  readonly id: string;
  readonly name: string;
  readonly owner: string;
  readonly minDiskGib: number;
  readonly minRamMib: number;
  readonly properties: Readonly<Record<string, string>>;
}

export interface Ports {
  readonly scheduler: Asks<typeof schedulerContract>;
  /** The compute agent of a host. */
  readonly compute: (host: string) => Asks<typeof computeContract>;
  readonly images: {
    /** Makes the record, status `queued`; it exists already: nothing. */
    ensure(image: NewSnapshotImage, signal: AbortSignal): Promise<void>;
    /** Removes record and data; absent: nothing. */
    remove(id: string, signal: AbortSignal): Promise<void>;
    /** Whether it is there with its data. */
    isActive(id: string): Promise<boolean>;
    /** Ids of a server's active backups of one type, newest first; only those that its project owns. */
    backups(
      of: { readonly serverId: string; readonly projectId: string; readonly backupType: string },
      signal: AbortSignal,
    ): Promise<readonly string[]>;
  };
  readonly networks: {
    /** Ends what a server has of the network, or one port of it; whoever runs these networks is told. None: nothing. */
    release(serverId: string, portId?: string): Promise<void>;
  };
  readonly servers: {
    /** Where the server is or is being put: its claim's host, else the record's; null for nowhere. */
    hostOf(serverId: string): Promise<string | null>;
    /** Every host on which something of it may be: while it moves there are two. */
    hostsOf(serverId: string): Promise<readonly string[]>;
    /** The image that holds its disk while it is shelved. */
    shelvedImageOf(serverId: string): Promise<string | null>;
    /** Tells every other operation on the server to undo itself, and waits until all have ended. */
    preempt(serverId: string, operationId: string, signal: AbortSignal): Promise<void>;
    /** False when the host's agent has not been heard of for long, or is forced down. */
    isHostUp(host: string): Promise<boolean>;
  };
}

export const defineOperation = operationsOver<Ports>();

/** A step's world, for parts of steps that several operations share. */
export type Context<Input = unknown, Outputs = unknown> = StepContext<Ports, Input, Outputs>;

export const HOURS = 3_600_000;

/** How long the undoing of what is pre-empted may take: longer than any step of it may. */
export const PREEMPT_DEADLINE_MS = 24 * HOURS;

/** For steps that wait for a guest to shut down: its grace, and time to end it afterwards. */
export const shutdownDeadlineMs = ({ graceMs }: { readonly graceMs: number }) => graceMs + 120_000;
