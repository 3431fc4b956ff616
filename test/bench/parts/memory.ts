/** What a node takes by itself: until it is ready, at rest, after a load, and with very many connections that rest. */
import { setTimeout as pause } from 'node:timers/promises';
import { freePorts } from '../../harness/tidegate.js';
import { IdleConnections, smallGet } from '../load.js';
import { memoryTable, type ProcessRow } from '../memory-report.js';
import type { Part, Sizes } from '../part.js';
import type { PeerContext } from '../peers/peer.js';
import { everythingOn } from '../peers/tidegate.js';
import { commandLine, cpuSeconds, rssBytes, untilQuiet } from '../proc-cpu.js';
import { measure, proxyContext, REQUEST_PATH_PROGRAMS, startPeers } from '../request-path.js';
import { notes } from '../request-path-report.js';
import { spreadOf } from '../statistics.js';

const IDLE = 10_000;
const STARTS: Sizes<number> = { full: 5, quick: 2 };
const REST_SECONDS: Sizes<number> = { full: 20, quick: 5 };
const LOAD_SECONDS = 5;
const QUIET_WITHIN_MS = 8000;
/** By the program that each runs. */
const ROLES = [['launcher', '/main.'], ['supervisor', 'supervisor-process.'], ['worker', 'worker-process.'], ['collector, with chDB', 'collector-process.']] as const;

/** All connections are of one address. */
const roomy = ({ port }: PeerContext): object => ({ listeners: { http: { address: `127.0.0.1:${port}`, limits: { connections: 2 * IDLE, connections_per_client: 2 * IDLE } } } });

export const memoryPart: Part = {
  name: 'memory',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const context = await proxyContext(folder, tools);
    const seconds: number[] = [];
    for (let i = 0; i < STARTS[size]; i++) {
      const [port] = await freePorts(1) as [number];
      const from = performance.now();
      const node = await everythingOn('Tidegate', `start-${i}`, null).start({ ...context, port });
      seconds.push((performance.now() - from) / 1000);
      await node.stop();
    }
    const { arms, leftOut } = await startPeers([everythingOn('Tidegate', 'memory', null, roomy)], context, tools);
    const [arm] = arms;
    if (arm === undefined) return notes(arms, leftOut);
    const pids = ROLES.map(([, program]) => arm.running.all().filter((pid) => commandLine(pid).includes(program)));
    const missing = ROLES.find((_, i) => pids[i]?.length === 0);
    if (missing !== undefined) throw new Error(`no process is the ${missing[0]}`);
    await untilQuiet(arm.running.all, QUIET_WITHIN_MS);
    const atRest = pids.map((of) => ({ rss: rssBytes(of), cpu: cpuSeconds(of) }));
    await pause(REST_SECONDS[size] * 1000);
    const rested = pids.map(cpuSeconds);
    const { rps } = await measure(arm, LOAD_SECONDS, tools);
    const loaded = pids.map(rssBytes);
    using idle = await IdleConnections.open({ ...smallGet(arm.running), idle: IDLE });
    await untilQuiet(arm.running.all, QUIET_WITHIN_MS);
    const full = pids.map(rssBytes);
    const rows = ROLES.map(([name], i): ProcessRow => ({
      name, restBytes: atRest[i]?.rss ?? 0, restCores: ((rested[i] ?? 0) - (atRest[i]?.cpu ?? 0)) / REST_SECONDS[size], loadedBytes: loaded[i] ?? 0, idleBytes: full[i] ?? 0,
    }));
    return [memoryTable(rows, { ready: spreadOf(seconds), rps, idle: IDLE - idle.lost }), ...notes(arms, leftOut)];
  },
};
