/** One kill of each process, each at a place where it cuts most: the short form of kill.long.test.ts. */
import { test } from 'node:test';
import { requires } from '../harness/requires.js';
import { killKinds } from './kill-kinds.js';
import { throughKills, timeoutOf, type Kills } from './kill-run.js';

const PLACES = ['mid-frame', 'mid-insert', 'after-grant'];
const kills: Kills = { kinds: killKinds().filter(({ place }) => place !== null && PLACES.includes(place)), ofEach: 1 };

test('through a kill of each process: answered ⊆ recorded, each once ⊆ begun', { skip: requires('chdb', 'linux'), timeout: timeoutOf(kills) }, () => throughKills(kills));
