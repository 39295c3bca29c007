/**
 * The hypervisor port: what a compute agent asks of the thing that runs guests.
 *
 * Verbs are host-level and know nothing of OpenStack. Every method is idempotent by guest id: the agent repeats a call
 * after a crash, and the answer must be as if it had been called once. What a driver cannot do it does not declare in
 * `capabilities`. Implementations: `qemu/` (real guests over QMP) and `fake/` (for scale and for faults); both pass
 * `conformance.ts`.
 */

/** Identifies a guest on its host; Micronova uses the server's UUID. */
export type GuestId = string;

/** What a guest does now. `absent`: no files; `stopped`: files, no process; `crashed`: the process died by itself. */
export type GuestState = 'absent' | 'stopped' | 'running' | 'paused' | 'crashed';

/** Abilities beyond the required ones. */
export interface Capabilities {
  /** How instructions are executed. */
  readonly accelerator: 'kvm' | 'tcg' | 'none';
  /** `backupDisk` of a running guest works without stopping it. */
  readonly liveBackup: boolean;
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
}

/**
 * Files of a config drive: path inside the drive → content, which is text or, since a specification is JSON, bytes in base64
 * (RFC 4648, white space allowed). Parts of a path are 1 to 60 letters, digits, `-`, `_` or inner `.`; at most seven folders
 * deep, 512 files, 64 MiB in all.
 */
export type ConfigDrive = Readonly<Record<string, string | { readonly base64: string }>>;

/** Everything needed to build a guest's files and command line. Persisted by the driver beside the guest's files. */
export interface GuestSpec {
  readonly id: GuestId;
  /** For people: shows in the process list. Letters, digits, `-_.` only. */
  readonly name: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  /** The root disk: a copy-on-write layer over `base`. */
  readonly disk: {
    /** Absolute path of the cached image; never written. */
    readonly base: string;
    readonly baseFormat: 'qcow2' | 'raw';
    /** Virtual size of the layer in bytes; at least the base's. */
    readonly sizeBytes: number;
  };
  readonly nics: readonly GuestNic[];
  /** Files of the config drive, or null for no drive. Volume label `config-2`. */
  readonly configDrive: ConfigDrive | null;
}

/** The state of one guest as found on the host. */
export interface GuestStatus {
  readonly id: GuestId;
  readonly state: GuestState;
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

/** Where the backup of a disk ended up. */
export interface BackupResult {
  /** Size of the file at the target, in bytes. */
  readonly sizeBytes: number;
  /** Size the guest sees, in bytes. */
  readonly virtualSizeBytes: number;
  /** True when the guest ran during the copy and was never stopped. */
  readonly live: boolean;
}

/** Something happened to a guest that nobody asked for (or that was asked for, once done). */
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

  /** Re-attaches to every guest found on the host; called at start and after a long silence. Repairs nothing, destroys nothing. */
  recover(): Promise<readonly GuestStatus[]>;
  inspect(id: GuestId): Promise<GuestStatus>;

  /** Makes the guest's files. Repeated with the same spec: makes what is missing, keeps an existing disk. */
  create(spec: GuestSpec): Promise<void>;
  /** Runs a created guest; resolves when it executes. Already running: nothing. */
  start(id: GuestId): Promise<void>;
  /** Asks the guest to power off, then ends the process after `graceMs` (0: at once). Already stopped: nothing. */
  stop(id: GuestId, graceMs: number): Promise<void>;
  /** Process and all files gone, whatever state it is in. Absent: nothing. */
  destroy(id: GuestId): Promise<void>;

  /**
   * Copies the root disk to `target` as a standalone qcow2 (no backing file). The moment of the copy is the call's
   * start. A running guest is never stopped; a stopped one is copied offline. Repeating overwrites `target`.
   * Failure or abort leaves no file at `target` and no job or block node in the hypervisor.
   */
  backupDisk(id: GuestId, target: string, control: JobControl): Promise<BackupResult>;

  /** The last `maxBytes` of what the guest wrote to its serial console; empty when it never ran. */
  consoleOutput(id: GuestId, maxBytes: number): Promise<string>;

  /** Calls `listener` for each change of a guest's state, until the returned function is called. */
  onEvent(listener: (event: GuestEvent) => void): () => void;

  /** Lets go of the guests (they run on), or stops them first. */
  close(options: { stopGuests: boolean }): Promise<void>;
}
