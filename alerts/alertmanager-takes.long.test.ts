/** deploy/alertmanager.yml: Alertmanager takes it, as it stands and with every example in it; who is told what. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { programPath, requires } from '../test/harness/requires.js';
import { root } from './rules-folders.fixture.js';

const file = join(root, 'deploy', 'alertmanager.yml');
const text = readFileSync(file, 'utf8');

const amtool = (...args: readonly string[]): string => {
  try {
    return execFileSync(programPath('amtool') ?? '', args, { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return assert.fail(`amtool ${args.join(' ')}:\n${stdout}\n${stderr}`);
  }
};

test('Alertmanager takes it as it stands, and with its examples of e-mail, webhook and chat', { skip: requires('alertmanager') }, (t) => {
  amtool('check-config', file);
  const whole = text.replaceAll(/^( *)#:/gm, '$1');
  for (const receiver of ['email_configs', 'webhook_configs', 'slack_configs']) assert.ok(whole.includes(`\n    ${receiver}:\n`), receiver);
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-alertmanager-'));
  t.after(() => { rmSync(folder, { recursive: true }); });
  writeFileSync(join(folder, 'alertmanager.yml'), whole);
  assert.match(amtool('check-config', join(folder, 'alertmanager.yml')), /5 receivers/);
});

test('pages wake somebody, tickets wait, a team is told of its own, and the heartbeat goes its own way', { skip: requires('alertmanager') }, () => {
  for (const [labels, receiver] of [
    [['alertname=GatewayDown', 'severity=page'], 'on-call'], [['alertname=HighErrorRate', 'severity=page', 'service=shop'], 'on-call'],
    [['alertname=HighErrorRate', 'severity=page', 'service=shop', 'team=storefront'], 'storefront-on-call'],
    [['alertname=TargetDown', 'severity=ticket', 'service=shop', 'team=storefront'], 'storefront'], [['alertname=EventLag', 'severity=ticket'], 'tickets'],
    [['alertname=TargetDown', 'severity=ticket', 'service=shop', 'team=another'], 'tickets'], [['alertname=Watchdog', 'severity=none'], 'heartbeat'],
  ] as const) assert.equal(amtool('config', 'routes', 'test', '--config.file', file, ...labels).trim(), receiver, labels.join(' '));
});
