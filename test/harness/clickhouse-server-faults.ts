/** What the test server does wrong on purpose. */
import { setTimeout as pause } from 'node:timers/promises';
import { EngineError } from './clickhouse-server-engine.js';

export interface Fault {
  /**
   * `stall`: hold it for `ms`. `status`: answer with `status` and no exception, as a proxy would. `exception`: answer ClickHouse's `code`.
   * `cut`: reset the connection. `kill`: SIGKILL to the server itself.
   */
  readonly kind: 'stall' | 'status' | 'exception' | 'cut' | 'kill';
  /** `before` the engine sees the statement (the default), `after` it is done and before the answer; a kill also `during`, `ms` after the engine began. */
  readonly at?: 'before' | 'during' | 'after';
  /** Regular expression, without regard to case, that the statement's text must match; default: every statement's does. */
  readonly statement?: string;
  /** So many times; default: until the faults are set anew. */
  readonly times?: number;
  readonly ms?: number;
  readonly status?: number;
  /** 252 too many parts, 242 read-only table, 164 read-only user, 241 memory, 159 time, 319 unknown status; others have the name UNKNOWN. */
  readonly code?: number;
}

const EXCEPTIONS: Readonly<Record<number, readonly [type: string, message: string]>> = {
  159: ['TIMEOUT_EXCEEDED', 'Timeout exceeded: elapsed 10.1 seconds, maximum: 10.'],
  164: ['READONLY', 'tidegate: Cannot execute query in readonly mode.'],
  241: ['MEMORY_LIMIT_EXCEEDED', 'Memory limit (total) exceeded.'],
  242: ['TABLE_IS_READ_ONLY', 'Table is in readonly mode since its replica has no session with Keeper.'],
  252: ['TOO_MANY_PARTS', 'Too many parts (3000 with average size of 1.00 KiB). Merges are processing significantly slower than inserts.'],
  319: ['UNKNOWN_STATUS_OF_INSERT', 'Unknown status, client must retry.'],
};

/** Thrown where the answer is not the engine's. */
export class FaultAnswer extends Error {
  /** Null: no answer at all, the connection goes. */
  readonly status: number | null;

  constructor(status: number | null) {
    super('a fault on purpose');
    this.status = status;
  }
}

export class Faults {
  #faults: { readonly fault: Fault; hits: number }[] = [];

  set(faults: readonly Fault[]): void {
    this.#faults = faults.map((fault) => ({ fault, hits: 0 }));
  }

  /** How often each has struck. */
  get hits(): readonly number[] {
    return this.#faults.map(({ hits }) => hits);
  }

  /** @throws EngineError, FaultAnswer */
  async strike(at: NonNullable<Fault['at']>, statement: string): Promise<void> {
    for (const entry of this.#faults) {
      const { fault } = entry;
      if ((fault.at ?? 'before') !== at || entry.hits >= (fault.times ?? Infinity)) continue;
      if (fault.statement !== undefined && !new RegExp(fault.statement, 'i').test(statement)) continue;
      entry.hits++;
      switch (fault.kind) {
        case 'stall': await pause(fault.ms ?? 1000); break;
        case 'status': throw new FaultAnswer(fault.status ?? 500);
        case 'cut': throw new FaultAnswer(null);
        case 'exception': {
          const [type, message] = EXCEPTIONS[fault.code ?? 252] ?? ['UNKNOWN', 'On purpose.'];
          throw new EngineError(fault.code ?? 252, type, message);
        }
        case 'kill':
          if (at === 'during') setTimeout(die, fault.ms ?? 1);
          else die();
      }
    }
  }
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}
