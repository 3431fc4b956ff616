/** One run of the client at a fixed rate, on the client's core. */
import { nodeProgram } from '../peers/node-proxies.js';
import { CLIENT_CORE, type RequestPathTools } from '../request-path.js';
import type { RateFigures, RateRun } from './rate-client.js';

/** @returns figures by step. @throws Error: the client failed */
export async function runAtRate({ processes }: RequestPathTools, run: RateRun): Promise<RateFigures[]> {
  const child = processes.spawn('rate-client', process.execPath, [...nodeProgram(import.meta.url, 'rate-client'), JSON.stringify(run)], { core: CLIENT_CORE });
  const { code, output } = await child.ended;
  if (code !== 0) throw new Error(`the client at a fixed rate ended with exit code ${String(code)}:\n${output}`);
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as RateFigures[];
}
