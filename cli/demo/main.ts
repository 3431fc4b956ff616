/**
 * `npm start`: the bundled example with a small shop behind it. Everything is the real thing, the launcher included; only the key of the
 * demo's app is made here, through the control API, and kept so that a later start prints commands that work.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Launcher } from '../launcher/launcher.js';
import { makeLog } from '../log.js';
import { printError } from '../print-error.js';
import { packageRoot } from '../version.js';
import { startDemoService } from './demo-service.js';

const SERVICE_PORT = 9101;
const GATEWAY = 'http://127.0.0.1:8080';
const CONTROL = 'http://127.0.0.1:9180';
const APP = 'demo';

interface DemoKey { readonly id: string; readonly key: string }

async function main(): Promise<number> {
  // the printed commands should stand out: only what is wrong is logged, unless asked otherwise
  process.env['TIDEGATE_LOG_LEVEL'] ??= 'warn';
  const root = packageRoot();
  const service = await startDemoService(SERVICE_PORT);
  const ended = new AbortController();
  try {
    console.log('Starting Tidegate with the example in examples/demo …');
    const node = new Launcher({ configPath: join(root, 'examples/demo/tidegate.yaml'), log: makeLog({ role: 'launcher' }) }).run();
    const greeting = greet(join(root, 'data/demo'), ended.signal).catch((error: unknown) => { if (!ended.signal.aborted) printError(error); });
    try {
      const exitCode = await node;
      console.log('Tidegate has stopped.');
      return exitCode;
    } finally {
      ended.abort();
      await greeting;
    }
  } finally {
    service.close();
    service.closeAllConnections();
  }
}

/** Waits until the node is ready, sees to the key, and prints what to try. */
async function greet(dataDir: string, signal: AbortSignal): Promise<void> {
  while (!await answers(`${CONTROL}/readyz`, null, signal)) await new Promise((resolve) => { setTimeout(resolve, 100); });
  const { key } = await demoKey(dataDir, signal);
  // the collector opens its store meanwhile: the second and third command need it
  while (!await answers(`${CONTROL}/v1/reports/live`, key, signal)) await new Promise((resolve) => { setTimeout(resolve, 100); });
  console.log(`
Tidegate is ready: requests on ${GATEWAY}, reports and control on ${CONTROL}.
Commands to try, in another terminal, in this folder:

  A request through the gateway, as the app '${APP}':
    curl -i -H 'X-Api-Key: ${key}' ${GATEWAY}/shop/products

  What the app has asked for so far:
    npx tidegate report --app ${APP} --key ${key}

  Its live numbers:
    curl -H 'Authorization: Bearer ${key}' ${CONTROL}/v1/reports/live

  How the node is, as its operator:
    npx tidegate status -c examples/demo/tidegate.yaml

Ctrl-C ends it all; the data stays in data/demo.
`);
}

async function answers(url: string, key: string | null, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  try {
    return (await fetch(url, { headers: key === null ? {} : { authorization: `Bearer ${key}` }, signal })).ok;
  } catch {
    return false;
  }
}

/** The key of an earlier start if it is still good, else a new one; kept beside the data, for its owner only. */
async function demoKey(dataDir: string, signal: AbortSignal): Promise<DemoKey> {
  const authorization = `Bearer ${readFileSync(join(dataDir, 'control.token'), 'utf8').trim()}`;
  const file = join(dataDir, 'demo-key.json');
  if (existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, 'utf8')) as DemoKey;
    const app = await (await fetch(`${CONTROL}/v1/apps/${APP}`, { headers: { authorization }, signal })).json() as { keys?: { id: string }[] };
    if (app.keys?.some(({ id }) => id === kept.id) === true) return kept;
  }
  const answer = await fetch(`${CONTROL}/v1/apps/${APP}/keys`, {
    method: 'POST', headers: { authorization, 'content-type': 'application/json' }, body: '{}', signal,
  });
  if (!answer.ok) throw new Error(`the demo's key could not be made: ${answer.status} ${await answer.text()}`);
  const { id, key } = await answer.json() as DemoKey;
  writeFileSync(file, JSON.stringify({ id, key }), { mode: 0o600 });
  return { id, key };
}

try {
  process.exitCode = await main();
} catch (error) {
  printError(error);
  process.exitCode = 1;
}
