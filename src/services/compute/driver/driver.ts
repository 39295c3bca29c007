/**
 * The hypervisor port: what a compute agent asks of the thing that runs guests.
 *
 * Verbs are host-level and know nothing of OpenStack. Every method is idempotent by guest id: the agent repeats a call
 * after a crash, and the answer must be as if it had been called once. What a driver cannot do it does not declare in
 * `capabilities`. Implementations: `qemu/` (real guests over QMP) and `fake/` (for scale and for faults); both pass
 * `conformance.ts`.
 */

import type { Duplex } from 'node:stream';

/** Identifies a guest on its host; Micronova uses the server's UUID. */
export type GuestId = string;

/**
 * What a guest does now. `absent`: no files; `stopped`: files, and nothing executes; `paused`: its memory is there and its
 * processors stand still; `suspended`: its memory is in a file, no process; `crashed`: the process died by itself.
 */
export type GuestState = 'absent' | 'stopped' | 'running' | 'paused' | 'suspended' | 'crashed';

/** Abilities beyond the required ones. */
export interface Capabilities {
  /** How instructions are executed. */
  readonly accelerator: 'kvm' | 'tcg' | 'none';
  /** `backupDisk` of a running guest works without stopping it. */
  readonly liveBackup: boolean;
  /** `receive`, `migrate` and what belongs to them work. */
  readonly liveMigration: boolean;
  /** Memory size that one guest can have at most, in MiB. */
  readonly maxMemoryMib: number;
}

/** What the host has in total. Sizes in MiB and GiB (binary). */
export interface Inventory {
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskGib: number;
  readonly hypervisorType: string;
  /** Nova's integer form: 7.2.0 is 7002000. */
  readonly hypervisorVersion: number;
  readonly cpuModel: string;
  readonly cpuArch: string;
}

/** One network card. */
export interface GuestNic {
  readonly mac: string;
  /** The port it is the guest's end of; a card without one is alone in QEMU's own network. */
  readonly portId?: string;
  /** The largest packet of its network, in bytes; QEMU's own where it is missing. */
  readonly mtu?: number;
  /** Where in the guest's machine it is; its place among the cards where it is missing. */
  readonly slot?: number;
}

/**
 * Files of a config drive: path inside the drive → content, which is text or, since a specification is JSON, bytes in base64
 * (RFC 4648, white space allowed). Parts of a path are 1 to 60 letters, digits, `-`, `_` or inner `.`; at most seven folders
 * deep, 512 files, 64 MiB in all.
 */
export type ConfigDrive = Readonly<Record<string, string | { readonly base64: string }>>;

/** A disk: a copy-on-write layer over a base that nobody ever writes. */
export interface GuestDisk {
  /** Tells the guest's disks apart and names their files: 1 to 60 letters, digits or `-`. */
  readonly name: string;
  /** Absolute path of the image. One that lies in the folder of the guest's disks is removed with the last disk over it. */
  readonly base: string;
  readonly baseFormat: 'qcow2' | 'raw';
  /** Virtual size of the layer in bytes; at least the base's. */
  readonly sizeBytes: number;
  /** Made as a copy of that disk of the guest, and not empty. Of no meaning once it is made. */
  readonly copyOf?: string;
}

/** Everything needed to build a guest's files and command line. Persisted by the driver beside the guest's files. */
export interface GuestSpec {
  readonly id: GuestId;
  /** For people: shows in the process list. Letters, digits, `-_.` only. */
  readonly name: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  /** The disk it boots from. */
  readonly disk: GuestDisk;
  /** Those behind it, in the order in which the guest sees them. */
  readonly otherDisks: readonly GuestDisk[];
  /**
   * Absolute path of the folder in which its disks lie, which is there, and which other hosts may see; its own folder where
   * it is missing. What is in it belongs to whoever made it: `destroy` leaves it as it is.
   */
  readonly disksDir?: string;
  readonly nics: readonly GuestNic[];
  /** Files of the config drive, or null for no drive. Volume label `config-2`. */
  readonly configDrive: ConfigDrive | null;
  /** Gives the guest the port on which its agent listens (`org.qemu.guest_agent.0`). */
  readonly guestAgent: boolean;
}

/** The state of one guest as found on the host. */
export interface GuestStatus {
  readonly id: GuestId;
  readonly state: GuestState;
  /** Why it is `paused` or `crashed`, where nobody asked for that: `the host has no space left for its disk`. */
  readonly reason?: string;
  /** It ran when the host went down, and has been neither started nor stopped since. */
  readonly lostWithHost?: true;
  /** What is missing of its files, in words; such a guest may run on but can never be started again. */
  readonly damage?: string;
}

/** How far a long job is, in bytes. `total` may grow while it runs. */
export interface ByteProgress {
  readonly done: number;
  readonly total: number;
}

/** Handed to every long job. */
export interface JobControl {
  /** Aborting ends the job soon and removes what it made. */
  readonly signal: AbortSignal;
  readonly onProgress: (progress: ByteProgress) => void;
}

/** What goes from one hypervisor to the other when a guest moves while it executes; a connection of each, or of disks several. */
export type MoveStream = 'memory' | 'disks';

/** How a guest moves while it executes; both sides are told the same. */
export interface MoveOptions {
  /** Its disks lie where both hosts see them, and stay there: only its memory goes. */
  readonly sharedDisks?: boolean;
}

/** Where the backup of a disk ended up. */
export interface BackupResult {
  /** Size of the file at the target, in bytes. */
  readonly sizeBytes: number;
  /** Size the guest sees, in bytes. */
  readonly virtualSizeBytes: number;
  /** True when the guest ran during the copy and was never stopped. */
  readonly live: boolean;
  /** True when the guest's file systems were frozen at the moment of the copy, so that they are whole on it. */
  readonly quiesced: boolean;
}

/** Something happened to a guest that nobody asked for. */
export interface GuestEvent {
  readonly id: GuestId;
  readonly state: GuestState;
  /** In words for the owner: `guest powered off`, `QEMU was killed by signal 9`. */
  readonly reason: string;
}

/** Told about each command to the hypervisor, for the trace: `command` is the QMP name, `ms` its duration. */
export type CommandObserver = (guest: GuestId, command: string, ms: number, error?: string) => void;

export interface Driver {
  readonly name: string;
  capabilities(): Promise<Capabilities>;
  inventory(): Promise<Inventory>;

  /** Re-attaches to every guest found on the host, and tells of all; repairs nothing, destroys nothing. Like `inspect` it waits for no call under way. */
  recover(): Promise<readonly GuestStatus[]>;
  inspect(id: GuestId): Promise<GuestStatus>;

  /**
   * Makes the guest's files. Repeated: makes what an unfinished call left out, keeps existing disks. What a finished guest has
   * lost since is `damage`, and is not replaced. A disk that somebody put into the guest's folder before, as from another host,
   * becomes the guest's: it is put over the base that the specification says, and grown where it is smaller. `hasDisks`: they
   * all are there, and one that is not is `guest_damaged`.
   */
  create(spec: GuestSpec, options?: { readonly hasDisks?: boolean }): Promise<void>;
  /** The specification it has now; null for an absent guest. */
  spec(id: GuestId): Promise<GuestSpec | null>;

  /**
   * Makes it execute, whatever it did: a stopped or crashed one boots, a paused one goes on, a suspended one gets its memory
   * back and goes on where it was. Resolves when it executes. Already running: nothing.
   */
  start(id: GuestId): Promise<void>;
  /**
   * Asks the guest to power off, then ends the process after `graceMs` (0: at once). Memory that was kept is dropped.
   * Already stopped: nothing. An abort ends the waiting (`aborted`); the guest then runs on, unless it powers off after all.
   */
  stop(id: GuestId, graceMs: number, signal?: AbortSignal): Promise<void>;
  /**
   * Asks a running guest to shut down, and boots it again in the same process. Answers false, with the guest running, when
   * it did not shut down within `graceMs`. One that does not run is started; an abort is as for `stop`.
   */
  reboot(id: GuestId, graceMs: number, signal?: AbortSignal): Promise<boolean>;
  /** Stops the processors of a running guest. Already paused: nothing. One without a process: `not_running`. */
  pause(id: GuestId): Promise<void>;
  /**
   * Writes the memory of a running or paused guest to its folder and ends its process; `start` continues it, also after a
   * restart of the host. Already suspended: nothing. Failure or abort leaves it running or paused as it was. One without a
   * process: `not_running`.
   */
  suspend(id: GuestId, control: JobControl): Promise<void>;

  /**
   * Gives a stopped guest another specification and keeps the one before, with its disks, until `settle` or `revert`. Makes
   * the disks that are missing, keeps those that exist by name. Repeated with the same: nothing. Once more with another:
   * what is kept is still the first. A guest that has a process or kept memory: `command_failed`.
   */
  reconfigure(spec: GuestSpec): Promise<void>;
  /** Makes the last `reconfigure` final: files that only the specification before needed are removed. None: nothing. */
  settle(id: GuestId): Promise<void>;
  /**
   * Takes the last `reconfigure` of a stopped guest back: files that only it needed are removed. None: nothing. A guest that
   * has a process or kept memory: `command_failed`.
   */
  revert(id: GuestId): Promise<void>;

  /**
   * Gives it one more network card, while it runs or not. It has one of that MAC: nothing. Suspended: `not_running`; no room for
   * more: `command_failed`.
   */
  plug(id: GuestId, nic: GuestNic): Promise<void>;
  /**
   * Takes a network card out; a running guest lets go of it first, and `command_failed` says that it did not. None of that MAC:
   * nothing. Suspended: `not_running`.
   */
  unplug(id: GuestId, mac: string, signal?: AbortSignal): Promise<void>;

  /**
   * Makes a guest that another host's is to become: its files, with disks that are empty over their bases (which are in place),
   * and a process that waits for the rest. It is `paused` with a reason until `start` or `pause` makes it a guest like others,
   * which is possible when everything has come; until then nothing else but `stop` and `destroy` can be done with it. Repeated: what
   * came is thrown away, and it is made anew. There is a guest of that id: `command_failed`. `sharedDisks`: its disks are
   * those of the other host's guest, in the specification's `disksDir`, and are left as they are.
   */
  receive(spec: GuestSpec, options?: MoveOptions): Promise<void>;
  /** A connection by which a guest that is received gets what `migrate` sends. `not_running` for any other guest. */
  openIncoming(id: GuestId, stream: MoveStream): Promise<Duplex>;
  /**
   * Sends a running or paused guest to where one of the same specification is received; `open` connects to its `openIncoming`.
   * It executes until almost everything is there. On return everything is, and neither of the two executes: each is `paused` with a
   * reason. `start` or `pause` of the one that is to live on, and `destroy` of the other, end the move, be it back or forth.
   *
   * Failure or abort leaves the guest running or paused as it was, and nothing of the attempt; so does the death of this process, once
   * somebody looks at the guest again. Repeated after success: begins anew, with the guest going on here. One without a
   * process: `not_running`.
   */
  migrate(
    id: GuestId,
    open: (stream: MoveStream) => Promise<Duplex>,
    control: JobControl,
    options?: MoveOptions,
  ): Promise<void>;
  /** Stops the processors of a guest while it is sent, so that it has no more to send than it has now. None is sent: `command_failed`. */
  hurry(id: GuestId): Promise<void>;

  /** Process and all files gone, whatever state it is in, but for those in a `disksDir`. Absent: nothing. */
  destroy(id: GuestId): Promise<void>;

  /**
   * Copies the root disk to `target` as a standalone qcow2 (no backing file). The moment of the copy is the call's
   * start. A running guest is never stopped; a stopped one is copied offline. Repeating overwrites `target`.
   * Failure or abort leaves no file at `target` and no job or block node in the hypervisor. A running guest with an
   * agent has its file systems frozen for that moment, and thawed again whatever happens, also after the death of the process that
   * asked. `quiesce: 'required'` fails (`guest_agent`) where that is not possible; otherwise it is done without. A guest without a
   * process needs no freezing, and never fails for that.
   */
  backupDisk(
    id: GuestId,
    target: string,
    control: JobControl,
    options?: { readonly quiesce?: 'required' },
  ): Promise<BackupResult>;

  /** Sets a user's password through the agent in the running guest. `guest_agent` when there is none, or it refuses; `not_running`. */
  setPassword(id: GuestId, user: string, password: string): Promise<void>;
  /**
   * Interrupts the guest's kernel (NMI), which dumps its memory if it was set up for that; a paused one's when it goes on. One
   * without a process: `not_running`.
   */
  injectNmi(id: GuestId): Promise<void>;

  /** The last `maxBytes` of what the guest wrote to its serial console; empty when it never ran. */
  consoleOutput(id: GuestId, maxBytes: number): Promise<string>;

  /**
   * A connection to the screen (`vnc`: RFB) or the serial line of a guest that has a process. One viewer of the serial line at a
   * time: the next takes it over, and the stream of the one before ends. A guest without a process: `not_running`.
   */
  openConsole(id: GuestId, kind: 'vnc' | 'serial'): Promise<Duplex>;

  /** Calls `listener` for each change of a guest's state, until the returned function is called. */
  onEvent(listener: (event: GuestEvent) => void): () => void;

  /** Lets go of the guests (they run on), or stops them first. */
  close(options: { stopGuests: boolean }): Promise<void>;
}
