/** The budget of HTTP/2 and gRPC: what a unary call costs in nginx, and in a proxy of node:http2. Tidegate takes no HTTP/2 yet. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../harness/tidegate.js';
import { programPath } from '../../harness/requires.js';
import { runH2Load } from '../h2load.js';
import type { Part, Sizes } from '../part.js';
import { naiveHttp2Peer, nginxGrpcPeer, startHttp2Upstream } from '../peers/http2.js';
import { cpuSeconds } from '../proc-cpu.js';
import { CLIENT_CORE, PROXY_CORE } from '../request-path.js';
import { ratios, spreadOf } from '../statistics.js';
import { figure, markdownTable } from '../table.js';

const ROUNDS: Sizes<{ readonly rounds: number; readonly calls: number }> = { full: { rounds: 5, calls: 20_000 }, quick: { rounds: 2, calls: 4000 } };
const WARM_CALLS = 4000;
const CONNECTIONS = 8;
const STREAMS = 8;
const MESSAGE_BYTES = 64;
/** Of nginx's CPU a call: below what node:http2 takes as one writes it first. */
const BUDGET = 1.5;

export const http2Part: Part = {
  name: 'http2',
  programs: [],
  missing: () => ['h2load', 'nginx'].find((name) => programPath(name) === null) ?? null,
  run: async ({ size, folder, tools: { processes, say } }) => {
    const program = programPath('h2load') ?? 'h2load';
    const [port] = await freePorts(1) as [number];
    const upstream = await startHttp2Upstream({ processes, port, core: CLIENT_CORE });
    const body = join(folder, 'message');
    const message = Buffer.alloc(5 + MESSAGE_BYTES);
    message.writeUInt32BE(MESSAGE_BYTES, 1);
    writeFileSync(body, message);
    const arms = await Promise.all([nginxGrpcPeer, naiveHttp2Peer].map(async (peer) => {
      const [own] = await freePorts(1) as [number];
      const running = await peer.start({ processes, folder, upstream, port: own, core: PROXY_CORE });
      const run = async (calls: number): Promise<number> => {
        const before = cpuSeconds(running.own());
        const { failed } = await runH2Load(processes, program, { load: running, body, calls, connections: CONNECTIONS, streams: STREAMS, core: CLIENT_CORE });
        if (failed > 0) throw new Error(`${peer.name}: ${failed} calls failed`);
        return (cpuSeconds(running.own()) - before) / calls * 1e6;
      };
      return { name: peer.name, run, samples: [] as number[] };
    }));
    for (const { run } of arms) await run(WARM_CALLS);
    const { rounds, calls } = ROUNDS[size];
    for (let round = 0; round < rounds; round++) {
      for (const { name, run, samples } of arms) {
        const us = await run(calls);
        samples.push(us);
        say(`round ${round + 1}/${rounds}  ${name}: ${us.toFixed(1)} us a call`);
      }
    }
    const [nginx] = arms.map(({ samples }) => samples) as [number[]];
    const rows = arms.map(({ name, samples }) => {
      const { median, least, most } = spreadOf(samples);
      return [name, figure(median), `${figure(least)}-${figure(most)}`, figure(spreadOf(ratios(samples, nginx)).median)];
    });
    return [
      markdownTable(['unary gRPC calls, HTTP/2 on both sides', 'CPU a call, us', 'least-most', 'x nginx'], rows),
      `The budget of a call in Tidegate, everything on: ${BUDGET} times nginx's, ${figure(BUDGET * spreadOf(nginx).median)} us. It takes no HTTP/2 yet.`,
    ];
  },
};
