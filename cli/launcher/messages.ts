/** What the launcher and its children say to each other over node's IPC channel. Its end is the launcher's death: children leave at once. */
import type { ErrorCode } from '../../errors/codes.js';
import type { RestartStatus } from '../../gateway/control/restart-status.js';
import type { CollectorNews } from '../../gateway/supervisor/collecting.js';
import type { LogSettings } from '../../gateway/supervisor/log-settings.js';

export type ChildMessage =
  /** The supervisor has a configuration, and wants the data directory, absolute: the launcher takes it for the whole run. */
  | { readonly type: 'data_dir'; readonly dataDir: string }
  /** The supervisor holds the data directory and a valid configuration: so many workers are wanted; a drain may take this long. */
  | { readonly type: 'ready'; readonly workers: number; readonly drainMs: number }
  /** The wanted number of workers has changed. */
  | { readonly type: 'workers'; readonly n: number; readonly drainMs: number }
  /** A configuration has been put into force: for the collector. */
  | { readonly type: 'reloaded' }
  /** How every process of the node writes its log from now on. */
  | { readonly type: 'log'; readonly settings: LogSettings }
  /** So many further lines of its log the child has held back, or could not write. */
  | { readonly type: 'suppressed'; readonly lines: number }
  /** The supervisor was asked to have every process of the node replaced. */
  | { readonly type: 'restart' }
  /** The supervisor has sealed the streams of workers that are gone. */
  | { readonly type: 'sealed' }
  /** A worker listens. */
  | { readonly type: 'serving' }
  /** The collector holds its store and answers. */
  | { readonly type: 'collecting' }
  /** The collector cannot start yet, and why: others have to do something first. */
  | { readonly type: 'waiting'; readonly code: ErrorCode; readonly detail: string }
  /** The child's last: it ends by a signal, and this is the exit code that it would have had. */
  | { readonly type: 'ending'; readonly exitCode: number }
  /** Why the child is about to exit with FATAL_EXIT: something that an operator has to mend. */
  | { readonly type: 'fatal'; readonly code: ErrorCode; readonly detail: string };

export type LauncherMessage =
  /** To the supervisor: the data directory is this run's; null: it could not be locked, and is. */
  | { readonly type: 'held'; readonly run: string | null }
  /** To the supervisor: it cannot be had. */
  | { readonly type: 'not_held'; readonly code: ErrorCode; readonly detail: string }
  /** The node is going down: wait to be told, whatever signals come. */
  | { readonly type: 'stopping' }
  /** To a worker: take no new connection, finish what is under way, exit. */
  | { readonly type: 'drain' }
  /** To the supervisor: all workers are gone, seal their streams. */
  | { readonly type: 'seal' }
  /** To the supervisor: how the collector stands. */
  | { readonly type: 'collector'; readonly news: CollectorNews }
  /** To the supervisor: how often workers were started again since the node's start. */
  | { readonly type: 'restarts'; readonly workers: number }
  /** To the supervisor: lines of the log of all processes that were held back, or could not be written, since the node's start. */
  | { readonly type: 'suppressed'; readonly lines: number }
  /** To the supervisor: how the node's restart stands. */
  | { readonly type: 'restart'; readonly status: RestartStatus }
  /** To the supervisor and the collector: finish and exit. */
  | { readonly type: 'stop' }
  /** To all: how to write the log from now on. */
  | { readonly type: 'log'; readonly settings: LogSettings }
  /** To the collector: the configuration in force has changed. */
  | { readonly type: 'reloaded' };

/** Exit code of a child that cannot start until somebody mends something (EX_CONFIG of sysexits.h). */
export const FATAL_EXIT = 78;

/** Environment of the children. */
export const ENV = {
  runDir: 'TIDEGATE_RUN_DIR',
  config: 'TIDEGATE_CONFIG',
  worker: 'TIDEGATE_WORKER',
  part: 'TIDEGATE_PART',
  /** The run that the data directory is locked for; '': it is not locked. */
  run: 'TIDEGATE_RUN',
  /** LogSettings as JSON; '' until the supervisor has told them. */
  log: 'TIDEGATE_LOG_SETTINGS',
} as const;
