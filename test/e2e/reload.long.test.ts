/** As in reload.test.ts, for longer. */
import { test } from 'node:test';
import { requires } from '../harness/requires.js';
import { reloadUnderLoad } from './reload-run.js';

test('100 reloads under load: no failed request, no dropped connection', { skip: requires('chdb', 'linux'), timeout: 180_000 }, () => reloadUnderLoad(100));
