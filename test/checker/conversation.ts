/** What a client says on one connection, drawn from its seed: kinds of requests, how they follow each other, and whether it leaves in the midst. */
import type { SeededRandom } from './seeded-random.js';

export interface PlannedRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Behind the request's number in its path; null: what makes a row without a path. */
  readonly tail: string | null;
  readonly version: '1.0' | '1.1';
  /** API key: whose. */
  readonly caller: 'plain' | 'limited' | 'other' | 'nobody';
  readonly body: PlannedBody | null;
  readonly connection: 'close' | 'keep-alive' | null;
}

export interface PlannedBody {
  readonly bytes: number;
  readonly framing: 'length' | 'chunked';
  /** Written in so many pieces, with a pause between them. */
  readonly pieces: number;
  readonly expect: boolean;
}

/** Where a client leaves; `reset`: without a word to the other side. */
export interface Leaving {
  readonly at: 'sent' | 'half of the head' | 'half of the body' | 'first bytes' | 'later';
  readonly afterMs: number;
  readonly reset: boolean;
}

export interface Conversation {
  readonly requests: readonly PlannedRequest[];
  /** All requests in one write, without waiting. */
  readonly pipelined: boolean;
  /** Of the last request; null: it stays for the response. */
  readonly leaves: Leaving | null;
  /** Sends its FIN behind the last request, and reads on. */
  readonly halfCloses: boolean;
}

const KINDS: readonly (readonly [share: number, make: (random: SeededRandom) => Conversation])[] = [
  [30, (random) => talk(times(random.integer(2, 15), () => anyRequest(random)))],
  [12, (random) => talk([{ ...anyRequest(random), connection: 'close' }])],
  [14, (random) => ({ ...talk(times(random.integer(2, 8), () => simple(random))), pipelined: true, halfCloses: random.chance(0.15) })],
  [8, (random) => talk(times(random.integer(1, 2), (i, all) => ({ ...http10(random), connection: i + 1 < all ? 'keep-alive' : null })))],
  [10, (random) => talk([upload(random, true)])],
  [14, (random) => ({ ...talk([anyRequest(random)]), leaves: leaving(random) })],
  [4, (random) => ({ ...talk(times(random.integer(2, 6), () => simple(random))), pipelined: true, leaves: leaving(random) })],
  [2, (random) => ({ ...talk([get(null)]), leaves: { at: 'half of the head', afterMs: random.integer(0, 50), reset: random.chance(0.5) } })],
  [3, (random) => talk([{ ...get(`${random.pick(['cut', 'cutchunk'])}/${random.integer(2, 5000)}`) }])],
];
const ALL = KINDS.reduce((sum, [share]) => sum + share, 0);

export function conversation(random: SeededRandom): Conversation {
  let at = random.next() * ALL;
  for (const [share, make] of KINDS) {
    if ((at -= share) < 0) return make(random);
  }
  return talk([anyRequest(random)]);
}

/** 0.3 to 26 s, the short ones more often; one in eight is left before its end. */
export function longConversation(random: SeededRandom): Conversation {
  const ms = Math.round(300 * (26_000 / 300) ** (random.next() ** 1.5));
  const stays = !random.chance(0.125);
  return { ...talk([get(`stream/${ms}`)]), leaves: stays ? null : { at: 'later', afterMs: Math.round(ms * random.next()), reset: random.chance(0.5) } };
}

function anyRequest(random: SeededRandom): PlannedRequest {
  return random.chance(0.2) ? upload(random, false) : simple(random);
}

function simple(random: SeededRandom): PlannedRequest {
  const tail = random.pick([
    `len/${random.integer(0, 3000)}`, `len/${random.integer(0, 100_000)}`, `chunk/${random.integer(0, 20_000)}/${random.integer(1, 8)}`, 'none/204', 'none/304',
    `slow/${random.integer(10, 4000)}/${random.integer(10, 400)}`, `len/${random.integer(0, 500)}`,
  ]);
  const request = { ...get(tail), ...(random.chance(0.12) ? { method: 'HEAD' as const } : {}) };
  return random.chance(0.15) ? { ...request, caller: random.pick(['limited', 'other', 'other', 'nobody']) } : random.chance(0.02) ? get(null) : request;
}

function http10(random: SeededRandom): PlannedRequest {
  return { ...get(random.pick([`len/${random.integer(0, 3000)}`, `chunk/${random.integer(0, 90_000)}/3`, `close/${random.integer(0, 3000)}`])), version: '1.0' };
}

function upload(random: SeededRandom, expect: boolean): PlannedRequest {
  const body: PlannedBody = { bytes: random.integer(0, 30_000), framing: random.chance(0.5) ? 'chunked' : 'length', pieces: random.integer(1, 4), expect };
  return { ...get(random.chance(0.1) ? 'early' : 'post'), method: 'POST', body };
}

function leaving(random: SeededRandom): Leaving {
  return { at: random.pick(['sent', 'half of the body', 'first bytes', 'later'] as const), afterMs: random.integer(0, 60), reset: random.chance(0.5) };
}

const get = (tail: string | null): PlannedRequest => ({ method: 'GET', tail, version: '1.1', caller: 'plain', body: null, connection: null });
const talk = (requests: readonly PlannedRequest[]): Conversation => ({ requests, pipelined: false, leaves: null, halfCloses: false });
const times = <T>(count: number, make: (i: number, all: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i, count));
