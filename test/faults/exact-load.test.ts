/** Every count agrees to the request: the short form of exact-load.long.test.ts. */
import { test } from 'node:test';
import { requires } from '../harness/requires.js';
import { loadIsExact } from './exact-load-run.js';

const REQUESTS = 30_000;

test(`${REQUESTS} requests over 4 apps, 2 workers: every count agrees to the request`, { skip: requires('chdb', 'hey', 'linux'), timeout: 900_000 }, () => loadIsExact(REQUESTS));
