/** What the checker runs against: nodes, where requests go, where is asked, and what can go wrong. */
import type { FaultKind } from './fault.js';
import type { ProductNode } from './node.js';
import type { PlannedRequest } from './conversation.js';

export interface Shape {
  readonly name: 'one' | 'many';
  /** That take requests; where. */
  readonly ports: readonly number[];
  readonly nodes: readonly ProductNode[];
  /** Where reports are asked for: a node that lives. */
  origin(): string;
  readonly token: string;
  readonly keys: Readonly<Record<PlannedRequest['caller'], string>>;
  readonly faults: readonly FaultKind[];
  /** All that was struck runs again, and every node is ready. @throws Error past the time */
  whole(withinMs: number): Promise<void>;
  /** Ends every process. @param keepIn folder to which data on disks of their own go; null: nothing is kept */
  end(keepIn: string | null): Promise<void>;
}
