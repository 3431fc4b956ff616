/** What is drawn of answers: where on the axis, and in which colour. That there are answers to draw is test/e2e/boards.long.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { service } from '../grafana/service.js';
import type { Answer, BoardJson } from './ask.js';
import type { Shown } from './expand.js';
import { boardPage, placesOf } from './page.js';

const SHOWN: Shown = { fromMs: 0, toMs: 900_000, stepS: 15, rateWindowS: 60, variables: new Map([['service', ['shop']]]) };
const board = JSON.parse(JSON.stringify(service())) as BoardJson;

/** The service board with one answer to one of its panels, alone. */
function drawn(title: string, answer: Answer, marks: Parameters<typeof boardPage>[2] = []): string {
  const panel = board.panels.find((one) => one.title === title && one.type !== 'row');
  assert.ok(panel !== undefined, title);
  return boardPage(board, [{ panel, answers: [answer] }], marks, SHOWN, 'test');
}

const series = (name: string, times: readonly number[], values: readonly (number | null)[]): Answer => ({ kind: 'series', series: [{ name, labels: {}, times, values }] });

test('a state stands where it was on the axis: a target of the last 4 of 15 minutes takes 4 parts of 15', () => {
  const times = Array.from({ length: 17 }, (_, index) => 660 + index * 15);
  const page = drawn('Targets', series('http://10.0.0.1', times, times.map(() => 0)));
  const bars = [...page.matchAll(/<i style="left:([\d.]+)%;width:([\d.]+)%/g)].map(([, left, width]) => [Number(left), Number(width)] as const);
  assert.ok(Math.abs((bars[0]?.[0] ?? 0) - 660 / 9) < 0.01, JSON.stringify(bars[0]));
  assert.ok(Math.abs(bars.reduce((sum, [, width]) => sum + width, 0) - 240 / 9) < 0.2, JSON.stringify(bars));
});

test('a time without samples is a gap; a single one is as wide as a step; nothing leaves the axis', () => {
  assert.deepEqual(placesOf([0, 90, 180, 630, 720], SHOWN), ['left:0.00%;width:10.00%', 'left:10.00%;width:10.00%', 'left:20.00%;width:10.00%', 'left:70.00%;width:10.00%', 'left:80.00%;width:10.00%']);
  assert.deepEqual([placesOf([450], SHOWN), placesOf([-30, 870, 885, 900], SHOWN)[3]], [['left:50.00%;width:1.67%'], 'left:100.00%;width:0.00%']);
});

test('a status class has its colour, and what happened in the time shown is a line of its own', () => {
  const marks = [{ name: 'Configuration applied', colour: 'blue', time: 300 }, { name: 'Deployed', colour: 'purple', time: 300 }, { name: 'Deployed', colour: 'purple', time: -5 }];
  for (const [name, colour] of [['2xx', '#56a64b'], ['3xx', '#5794f2'], ['4xx', '#ff9830'], ['5xx', '#e02f44'], ['0xx', null]] as const) {
    const page = drawn('Status classes', series(name, [0, 15], [1, 2]), marks);
    const [, json = ''] = /<script type="application\/json">(.*?)<\/script>/.exec(page) ?? [];
    const chart = JSON.parse(json) as { lines: { colour: string | null }[]; events: unknown[] };
    assert.equal(chart.lines[0]?.colour, colour, name);
    assert.deepEqual(chart.events, [{ time: 300, colour: '#5794f2' }, { time: 300, colour: '#b877d9' }]);
    assert.match(page, /<\/i>Configuration applied<\/span>.*<\/i>Deployed<\/span>/);
  }
});
