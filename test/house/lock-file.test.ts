/** What npm installs is what was looked at: every package of the lock file is known by its hash. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../cli/version.js';

interface LockEntry { readonly version?: string; readonly integrity?: string; readonly resolved?: string; readonly link?: boolean; readonly optional?: boolean }

/**
 * chDB's builds for other platforms. The lock file was made on Linux x64 against a registry that has the build of that platform alone, so their hashes could
 * not be had; without the entries `npm ci` would install none of them anywhere. docs/platforms.md says what that means. Whoever can ask a registry that has
 * them (`npm view PACKAGE@VERSION dist.integrity`) puts the hash in and takes the line away.
 */
const WITHOUT_INTEGRITY: readonly string[] = [
  'node_modules/@chdb/lib-darwin-arm64', 'node_modules/@chdb/lib-darwin-x64', 'node_modules/@chdb/lib-linux-arm64-gnu',
];

test('every package of the lock file has a hash, but those that are known to lack one', () => {
  const { packages } = JSON.parse(readFileSync(join(packageRoot(), 'package-lock.json'), 'utf8')) as { readonly packages: Readonly<Record<string, LockEntry>> };
  const installed = Object.entries(packages).filter(([path, { link }]) => path !== '' && link !== true);
  assert.ok(installed.length > 50, `${installed.length} packages`);
  const lacking = installed.filter(([, { integrity }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? '')).map(([path]) => path);
  assert.deepEqual(lacking, WITHOUT_INTEGRITY);
  for (const path of WITHOUT_INTEGRITY) assert.equal(packages[path]?.optional, true, `${path} would be installed everywhere`);
  const elsewhere = installed.filter(([, { resolved }]) => resolved !== undefined && !resolved.startsWith('https://registry.npmjs.org/')).map(([path]) => path);
  assert.deepEqual(elsewhere, [], 'not from the public registry');
});
