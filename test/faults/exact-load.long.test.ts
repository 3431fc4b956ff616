/** Every count agrees to the request. TEST_LOAD is the number of requests (default 100,000; 1,000,000 for the long run: npm run faults). */
import { test } from 'node:test';
import { requires } from '../harness/requires.js';
import { loadIsExact } from './exact-load-run.js';

const REQUESTS = Number(process.env['TEST_LOAD'] ?? 100_000);

test(`${REQUESTS} requests over 4 apps, 2 workers: every count agrees to the request`, { skip: requires('chdb', 'hey', 'linux'), timeout: 900_000 }, () => loadIsExact(REQUESTS));
