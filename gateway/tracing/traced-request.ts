/** A request that is to be seen as spans, as it travels from the worker to the supervisor: plain JSON, what was noted while it ran. */

/** Why it is exported: its sender wanted it, the ratio took it, or it ended so that it is always wanted. */
export type SampledBy = 'parent' | 'ratio' | 'error' | 'slow';

export interface TracedRequest {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** Of the server span: 16 digits. */
  readonly spanId: string;
  /** The sender's span; '': the trace begins here. */
  readonly parentId: string;
  readonly state: string;
  readonly sampledBy: SampledBy;
  /** ms since the epoch. */
  readonly endMs: number;
  readonly durationUs: number;
  readonly requestId: string;
  readonly method: string;
  readonly scheme: 'http' | 'https';
  /** As the service's record_path `full` keeps it; '': it is not kept. */
  readonly path: string;
  /** The Host field, cut. */
  readonly authority: string;
  readonly userAgent: string;
  /** `1.1` */
  readonly protocolVersion: string;
  /** The route's pattern, and its name. */
  readonly pattern: string;
  readonly route: string;
  readonly service: string;
  readonly app: string;
  readonly configVersion: string;
  /** 0: none was sent. */
  readonly status: number;
  readonly outcome: string;
  readonly attempts: readonly TracedAttempt[];
}

/** One try at a target, from the moment a connection was asked for. */
export interface TracedAttempt {
  readonly spanId: string;
  /** The target's URL. */
  readonly target: string;
  /** After the request's first byte. */
  readonly beganUs: number;
  readonly durationUs: number;
  /** Of the answer; 0: none came. */
  readonly status: number;
  /** Why it failed (AttemptFailure), or the request's outcome where that ended it; '': it was answered. */
  readonly failure: string;
}
