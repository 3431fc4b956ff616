/**
 * What a test needs beyond node and the packages. A test that lacks it is skipped by name and says how to get it; with TEST_REQUIRE=all,
 * as in CI, it fails instead, unless what it lacks is the kernel's or the container's to give.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { kafkaJars } from './kafka.js';

interface Requirement {
  readonly present: () => boolean;
  readonly get: string;
  /** No package brings it: a test that lacks it is skipped with TEST_REQUIRE=all too. */
  readonly ofTheHost?: true;
}

const REQUIREMENTS = {
  nginx: { present: () => onPath('nginx'), get: 'apt-get install nginx-light (or nginx)' },
  wrk: { present: () => onPath('wrk'), get: 'apt-get install wrk' },
  hey: { present: () => onPath('hey'), get: 'apt-get install hey' },
  curl: { present: () => onPath('curl'), get: 'apt-get install curl' },
  openssl: { present: () => onPath('openssl'), get: 'apt-get install openssl' },
  haproxy: { present: () => onPath('haproxy'), get: 'apt-get install haproxy' },
  redis: { present: () => onPath('redis-server') && onPath('redis-cli'), get: 'apt-get install redis-server' },
  kafka: { present: () => onPath('java') && kafkaJars() !== null, get: '.ci/kafka (installs Java and Kafka\'s jars)' },
  chdb: { present: () => resolvable('chdb'), get: 'npm ci (without --omit=optional), on Linux with glibc or macOS' },
  prometheus: { present: () => onPath('prometheus') && onPath('promtool'), get: 'apt-get install prometheus' },
  alertmanager: { present: () => onPath('prometheus-alertmanager') && onPath('amtool'), get: 'apt-get install prometheus-alertmanager' },
  faketime: { present: () => libfaketime() !== null, get: 'apt-get install faketime' },
  linux: { present: () => process.platform === 'linux' && existsSync('/proc/self/stat'), get: 'run on Linux: the test reads /proc' },
  flock: { present: () => onPath('flock'), get: 'apt-get install util-linux' },
  namespaces: { present: hasNamespaces, get: 'run as root on Linux where PID namespaces can be made (unshare of util-linux): the test starts a node in one', ofTheHost: true },
  root: { present: () => process.getuid?.() === 0, get: 'run as root: the test mounts a file system' },
  loop: { present: hasLoopDevices, get: 'run as root on Linux where loop devices can be had, with mkfs.ext4: the test makes a disk that fails', ofTheHost: true },
} as const satisfies Record<string, Requirement>;

export type RequirementName = keyof typeof REQUIREMENTS;

/**
 * For `test(name, { skip: requires('nginx', 'hey') }, …)`: false if all is there, else why the test is skipped.
 * @throws Error with TEST_REQUIRE=all, unless only what no package brings is missing
 */
export function requires(...names: readonly RequirementName[]): string | false {
  const missing = names.filter((name) => !REQUIREMENTS[name].present());
  if (missing.length === 0) return false;
  const reason = missing.map((name) => `${name} is missing: ${REQUIREMENTS[name].get}`).join('; ');
  const mustBeThere = missing.some((name) => !('ofTheHost' in REQUIREMENTS[name]));
  if (mustBeThere && process.env['TEST_REQUIRE'] === 'all') throw new Error(`TEST_REQUIRE=all, and ${reason}`);
  return reason;
}

/** What is not here of all that tests need and a package brings, with how to get it. */
export function missingPrograms(): string[] {
  return Object.entries<Requirement>(REQUIREMENTS).flatMap(([name, { present, get, ofTheHost }]) => (ofTheHost === true || present() ? [] : [`${name}: ${get}`]));
}

/** Absolute path of a program, or null. */
export function programPath(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null;
}

/** The library that gives a process a clock of its own, or null. */
export function libfaketime(): string | null {
  if (process.platform !== 'linux') return null;
  const folders = ['/usr/lib', '/usr/local/lib'].flatMap((folder) => [folder, ...['x86_64', 'aarch64'].map((machine) => join(folder, `${machine}-linux-gnu`))]);
  return folders.map((folder) => join(folder, 'faketime', 'libfaketimeMT.so.1')).find((file) => existsSync(file)) ?? null;
}

function onPath(name: string): boolean {
  return programPath(name) !== null;
}

function hasNamespaces(): boolean {
  return process.platform === 'linux' && spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;
}

function hasLoopDevices(): boolean {
  return process.platform === 'linux' && process.getuid?.() === 0 && onPath('mkfs.ext4') && spawnSync('losetup', ['--find']).status === 0;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function resolvable(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}
