/** Kills of every kind. TEST_KILLS of each have to count (default 1; 20 for the long run: npm run faults). */
import { test } from 'node:test';
import { requires } from '../harness/requires.js';
import { KILLS, killKinds } from './kill-kinds.js';
import { throughKills, timeoutOf, type Kills } from './kill-run.js';

const kills: Kills = { kinds: killKinds(), ofEach: KILLS };

test('through kills of every process: answered ⊆ recorded, each once ⊆ begun', { skip: requires('chdb', 'linux'), timeout: timeoutOf(kills) }, () => throughKills(kills));
