/** What the launcher and its children say to each other over node's IPC channel. Its end is the launcher's death: children leave at once. */
import type { ErrorCode } from '../../errors/codes.js';
import type { CollectorNews } from '../../gateway/supervisor/collecting.js';

export type ChildMessage =
  /** The supervisor holds the data directory and a valid configuration: so many workers are wanted; a drain may take this long. */
  | { readonly type: 'ready'; readonly workers: number; readonly drainMs: number }
  /** The wanted number of workers has changed. */
  | { readonly type: 'workers'; readonly n: number; readonly drainMs: number }
  /** A configuration has been put into force: for the collector. */
  | { readonly type: 'reloaded' }
  /** The supervisor has sealed the streams of workers that are gone. */
  | { readonly type: 'sealed' }
  /** A worker listens. */
  | { readonly type: 'serving' }
  /** The collector holds its store and answers. */
  | { readonly type: 'collecting' }
  /** The collector cannot start yet, and why: others have to do something first. */
  | { readonly type: 'waiting'; readonly code: ErrorCode; readonly detail: string }
  /** Why the child is about to exit with FATAL_EXIT: something that an operator has to mend. */
  | { readonly type: 'fatal'; readonly code: ErrorCode; readonly detail: string };

export type LauncherMessage =
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
  /** To the supervisor and the collector: finish and exit. */
  | { readonly type: 'stop' }
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
} as const;
