/** The demo's upstream alone, for docker-compose.yml: `node dist/cli/demo/shop.js HOST:PORT`, until SIGTERM. */
import { printError } from '../print-error.js';
import { startDemoService } from './demo-service.js';

const address = process.argv[2] ?? '127.0.0.1:9101';
const colon = address.lastIndexOf(':');
try {
  const service = await startDemoService(Number(address.slice(colon + 1)), address.slice(0, colon));
  console.log(`the shop answers on ${address}`);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      service.close();
      service.closeIdleConnections();
    });
  }
} catch (error) {
  printError(error);
  process.exitCode = 1;
}
