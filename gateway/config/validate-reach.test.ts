import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkFile } from './check.js';
import { formatProblem } from './config-problem.js';
import { configFolder, LISTENER } from './config-folder.fixture.js';

const OPEN = '{ name: site, authentication: [], match: { path: "/*" } }';
const route = (match: string, more = ''): string => `{ name: admin, match: { ${match} }${more} }`;

function warned(t: Parameters<typeof configFolder>[0], ...routes: string[]): string[] {
  const lines = routes.map((one) => `      - ${one}\n`).join('');
  const { file } = configFolder(t, `${LISTENER}services:\n  - name: web\n    upstream: { targets: [{ url: "http://h" }] }\n    routes:\n${lines}`);
  const { errors, warnings } = checkFile(file, { environment: {} });
  assert.deepEqual(errors, []);
  return warnings.map((warning) => formatProblem(warning).slice(file.length + 1));
}

test('a regular expression that asks who it is, behind an open prefix, is warned of at its place', (t) => {
  for (const [path, open] of [
    ['~^/admin/', OPEN], ['~admin', OPEN], ['~^/(admin|ops)/', OPEN],
    ['~^/admin/v[12]/', '{ name: site, authentication: [], match: { path: "/admin/*" } }'], ['~^/a/b\\\\.c/d', '{ name: site, authentication: [], match: { path: "/a/:x/*" } }'],
  ] as const) {
    const [warning, ...more] = warned(t, open, route(`path: "${path}"`));
    assert.deepEqual(more, []);
    assert.match(warning ?? '', /^9:39: services\[0\]\.routes\[1\]\.match\.path: is never reached: web\/site \(.*, services\[0\]\.routes\[0\]\) comes before .* \(config_doubtful\)$/, path);
  }
});

test('and an exact path, whose other ending an open prefix takes', (t) => {
  for (const [path, other] of [['/admin', '/admin/'], ['/admin/', '/admin'], ['/users/:id', '/users/:id/']] as const) {
    const [warning, ...more] = warned(t, OPEN, route(`path: "${path}"`));
    assert.deepEqual(more, []);
    assert.match(warning ?? '', /^9:39: services\[0\]\.routes\[1\]\.match\.path: does not take /);
    assert.ok(warning?.includes(`does not take ${other}: that goes to web/site (/*, services[0].routes[0])`), warning);
  }
});

test('methods and hosts that both have are named', (t) => {
  assert.match(warned(t, '{ name: site, authentication: [], match: { path: "/*", methods: [GET] } }', route('path: "~^/admin/"'))[0] ?? '', /never reached \(GET\)/);
  assert.match(warned(t, '{ name: site, authentication: [], match: { path: "/*", hosts: [A.example] } }', route('path: "~^/admin/", hosts: [a.example, b.example]'))[0] ?? '', /never reached \(at a\.example\)/);
  assert.equal(warned(t, '{ name: site, authentication: [], match: { path: "/*", methods: [GET] } }', route('path: "/admin", methods: [GET]')).length, 1);
});

test('what keeps its requests is not warned of', (t) => {
  const quiet: readonly string[][] = [
    // both ask, or neither does
    ['{ name: site, match: { path: "/*" } }', route('path: "~^/admin/"'), '{ name: exact, match: { path: "/admin" } }'],
    [OPEN, route('path: "~^/admin/"', ', authentication: []'), '{ name: exact, authentication: [], match: { path: "/admin" } }'],
    // a prefix has both endings; so have two routes, or one and an open one that was meant
    [OPEN, route('path: "/admin/*"')], [OPEN, route('path: "/admin"'), '{ name: slash, match: { path: "/admin/" } }'],
    [OPEN, route('path: "/admin"'), '{ name: slash, authentication: [], match: { path: "/admin/" } }'], [OPEN, route('path: "/"')],
    // another part of the tree, other hosts, other methods, fields that the other does not ask for
    ['{ name: site, authentication: [], match: { path: "/static/*" } }', route('path: "~^/admin/"'), '{ name: part, match: { path: "~^/static" } }', '{ name: maybe, match: { path: "~^/static/?x" } }', '{ name: either, match: { path: "~^/static/|^/x" } }'],
    ['{ name: site, authentication: [], match: { path: "/*", hosts: [www.example] } }', route('path: "~^/admin/", hosts: [ops.example]'), '{ name: exact, match: { path: "/admin", hosts: [ops.example] } }', '{ name: any, match: { path: "~^/any/" } }'],
    ['{ name: site, authentication: [], match: { path: "/*", methods: [GET] } }', route('path: "~^/admin/", methods: [POST]'), '{ name: exact, match: { path: "/admin", methods: [POST] } }'],
    ['{ name: site, authentication: [], match: { path: "/*", headers: { X-Site: "*" } } }', route('path: "~^/admin/"'), '{ name: exact, match: { path: "/admin" } }'],
  ];
  for (const routes of quiet) assert.deepEqual(warned(t, ...routes), [], routes.join('\n'));
});
