/**
 * `npm start`: the bundled example with a small shop behind it. Everything is the real thing, the launcher included; only the key of the
 * demo's app is made here, through the control API, and kept so that a later start prints commands that work.
 *
 * Addresses and the data's folder are those of examples/demo/tidegate.yaml. Where a port is taken, change it there, or set these (`127.0.0.1:18080`; the
 * last is a URL, `http://127.0.0.1:19101`). The printed commands name the port in force: the terminal that they are tried in knows none of these.
 *
 *   TIDEGATE__listeners__http__address  TIDEGATE__control__address  TIDEGATE__services__shop__upstream__targets__0__url
 */
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join, relative } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import { parseConfig, readConfigText } from '../../gateway/config/load.js';
import { Launcher } from '../launcher/launcher.js';
import { makeLog } from '../log.js';
import { printError } from '../print-error.js';
import { packageRoot } from '../version.js';
import { startDemoService } from './demo-service.js';

/** From the package's root, where `npm start` runs. */
const EXAMPLE = 'examples/demo/tidegate.yaml';
const APP = 'demo';

/** Where the demo runs. */
interface Place { readonly gateway: string; readonly control: string; readonly shop: URL; readonly dataDir: string }
interface DemoKey { readonly id: string; readonly key: string }

async function main(): Promise<number> {
  // the printed commands should stand out: only what is wrong is logged, unless asked otherwise
  process.env['TIDEGATE_LOG_LEVEL'] ??= 'warn';
  const configPath = join(packageRoot(), EXAMPLE);
  const place = placeOf(configPath);
  // a stranger there would be asked, and shown the demo's token
  await mustBeFree(place.gateway);
  await mustBeFree(place.control);
  const service = await startDemoService(Number(place.shop.port), place.shop.hostname);
  const ended = new AbortController();
  try {
    console.log('Starting Tidegate with the example in examples/demo …');
    const log = makeLog({ role: 'launcher' });
    const node = new Launcher({ configPath, log: log.logger, processLog: log }).run();
    const greeting = greet(place, ended.signal).catch((error: unknown) => { if (!ended.signal.aborted) printError(error); });
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

/** @throws ConfigRejectedError */
function placeOf(configPath: string): Place {
  const { config, dataDir } = parseConfig(readConfigText(configPath), configPath);
  const target = config.services[0]?.upstream.targets[0];
  if (target === undefined) throw new Error(`${configPath} has no service`);
  return { gateway: `http://${config.listeners.http.address}`, control: `http://${config.control.address}`, shop: new URL(target.url), dataDir };
}

/** @throws TidegateError address_in_use; address_unusable */
async function mustBeFree(origin: string): Promise<void> {
  const { hostname, port } = new URL(origin);
  const server = net.createServer();
  try {
    server.listen({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 80) });
    await once(server, 'listening');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new TidegateError(code === 'EADDRINUSE' ? 'address_in_use' : 'address_unusable', `${hostname}:${port}: ${code ?? message}; ${EXAMPLE} names it`, { cause: error });
  } finally {
    server.close();
  }
}

/** Waits until the node is ready, sees to the key, and prints what to try. */
async function greet(place: Place, signal: AbortSignal): Promise<void> {
  const { gateway, control } = place;
  while (!await answers(`${control}/readyz`, null, signal)) await new Promise((resolve) => { setTimeout(resolve, 100); });
  const { key } = await demoKey(place, signal);
  // the collector opens its store meanwhile: the second and third command need it
  while (!await answers(`${control}/v1/reports/live`, key, signal)) await new Promise((resolve) => { setTimeout(resolve, 100); });
  console.log(`
Tidegate is ready: requests on ${gateway}, reports and control on ${control}.
Commands to try, in another terminal, in this folder:

  A request through the gateway, as the app '${APP}':
    curl -i -H 'X-Api-Key: ${key}' ${gateway}/shop/products

  What the app has asked for so far:
    npx tidegate report --url ${control} --app ${APP} --key ${key}

  Its live numbers:
    curl -H 'Authorization: Bearer ${key}' ${control}/v1/reports/live

  How the node is, as its operator:
    npx tidegate status -c ${EXAMPLE} --url ${control}

Ctrl-C ends it all; the data stays in ${relative(packageRoot(), place.dataDir)}.
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
async function demoKey({ control, dataDir }: Place, signal: AbortSignal): Promise<DemoKey> {
  const authorization = `Bearer ${readFileSync(join(dataDir, 'control.token'), 'utf8').trim()}`;
  const file = join(dataDir, 'demo-key.json');
  if (existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, 'utf8')) as DemoKey;
    const app = await (await fetch(`${control}/v1/apps/${APP}`, { headers: { authorization }, signal })).json() as { keys?: { id: string }[] };
    if (app.keys?.some(({ id }) => id === kept.id) === true) return kept;
  }
  const answer = await fetch(`${control}/v1/apps/${APP}/keys`, {
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
