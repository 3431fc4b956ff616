import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { requires } from '../harness/requires.js';
import { acceptedConnections, commandLine, cpuSeconds, parseStat, processTree, rssBytes } from './proc-cpu.js';

test('a process whose name holds brackets and spaces is read like any other', () => {
  const line = '4242 (a) R 1 (b) S 17 4242 4242 0 -1 4194560 100 0 0 0 250 31 7 9 20 0 11 0 1000 1 1';
  assert.deepEqual(parseStat(line), { parent: 17, ticks: 281 });
  assert.equal(parseStat(''), null);
});

test('a child\'s work is seen in its parent\'s tree, and nothing is seen of it when it is gone', { skip: requires('linux') }, async () => {
  const child = spawn(process.execPath, ['-e', 'const end = performance.now() + 300; while (performance.now() < end); console.log("done"); process.stdin.resume();'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const pid = child.pid as number;
  await once(child.stdout, 'data');
  assert.ok(processTree(process.pid).includes(pid));
  assert.match(commandLine(pid), /performance\.now/);
  assert.ok(cpuSeconds([pid]) >= 0.05, `${cpuSeconds([pid])} s`);
  assert.ok(rssBytes([pid]) > 10_000_000);
  child.stdin.end();
  await once(child, 'exit');
  assert.equal(cpuSeconds([pid]), 0);
  assert.equal(rssBytes([pid]), 0);
});

test('connections that a process has accepted at a port are counted, and no others', { skip: requires('linux') }, async () => {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const sockets = Array.from({ length: 3 }, () => connect(port, '127.0.0.1'));
  let accepted = 0;
  await new Promise<void>((resolve) => { server.on('connection', () => { if (++accepted === 3) resolve(); }); });
  assert.equal(acceptedConnections(process.pid, port), 3);
  assert.equal(acceptedConnections(process.pid, port === 65_535 ? 1 : port + 1), 0);
  for (const socket of sockets) socket.destroy();
  server.close();
});
