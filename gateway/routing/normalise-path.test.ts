import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalisePath } from './normalise-path.js';

test('a clean path is returned as it is', () => {
  for (const path of ['/', '/a', '/a/', '/a/b.c', '/a;p=1/b', "/~u/-._!$&'()*+,=:@", '/a.', '/a..b', '/index.html']) assert.equal(normalisePath(path), path);
});

test('each path has one spelling', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['//favicon.ico', '/favicon.ico'], ['/a//b///c', '/a/b/c'], ['/a//', '/a/'], ['//', '/'],
    ['/a/./b', '/a/b'], ['/a/.', '/a/'], ['/./a', '/a'], ['/a/../b', '/b'], ['/a/b/..', '/a/'], ['/a/..', '/'], ['/a//../b', '/b'],
    ['/a/%2e%2e/b', '/b'], ['/a/%2E./b', '/b'], ['/a/.%2e', '/'], ['/a/%2e/b', '/a/b'], ['/a/b/../../c', '/c'],
    ['/.well-known/x', '/.well-known/x'], ['/a/...', '/a/...'], ['/..a/b', '/..a/b'], ['/a/.b', '/a/.b'],
    ['/%41%7e%2d', '/A~-'], ['/%3a%c3%a9', '/%3A%C3%A9'], ['/%252e%252e', '/%252e%252e'], ['/%25%32%65', '/%252e'],
    ['/a%3bb;c', '/a%3Bb;c'], ['/a"<>^`{|}[]', '/a%22%3C%3E%5E%60%7B%7C%7D%5B%5D'], ['/caf\xe9', '/caf%E9'], ['/\xc3\xa9', '/%C3%A9'],
    // a dot in the place of an overlong form's last byte stays written out, however it came; elsewhere it does not
    ['/a/%c0%2e%c0%2e/b', '/a/%C0%2E%C0%2E/b'], ['/%c0.', '/%C0%2E'], ['/\xc1%2E', '/%C1%2E'], ['/%e0%80%2e', '/%E0%80%2E'], ['/voil%e0%2ehtml', '/voil%E0.html'], ['/%c3%a9%2e', '/%C3%A9.'],
    ['/%c0/%2e/a', '/%C0/a'],
  ];
  for (const [given, expected] of cases) assert.equal(normalisePath(given), expected, given);
});

test('paths that cannot be matched and sent on alike are refused', () => {
  const refused = [
    '', 'a', '*', 'http://h/', '/..', '/../a', '/a/../..', '/%2e%2e/a', '/a/..//../..', '/a%2fb', '/a%2Fb', '/a\\b', '/a%5cb', '/a%5C..%5Cb', '/a%00', '/a\0b',
    '/%0d%0a', '/a\tb', '/a b', '/%7f', '/a#b', '/a?b', '/%', '/%4', '/%4g', '/%zz', '/a%', '/\u0100',
    // overlong forms of '/', '.', '\', in two to six bytes, raw bytes and triplets mixed
    '/%c0%af', '/%C0%AE%C0%AE/', '/%c1%9c', '/%e0%80%af', '/%f0%80%80%af', '/%f8%80%80%80%af', '/%fc%80%80%80%80%af', '/\xc0%af', '/%c0\xaf', '/x%e8%c0%af',
    // taken for dot segments by servers that cut parameters off first
    '/a/..;/b', '/a/..;x=1/b', '/a/.;/b', '/a/%2e%2e;/b', '/a/..%3b/b', '/a/..;',
  ];
  for (const path of refused) assert.equal(normalisePath(path), null, JSON.stringify(path));
});

test('bytes of old code pages and all well-formed UTF-8 pass', () => {
  assert.equal(normalisePath('/%E8%F1%EF%EE%EB%FC'), '/%E8%F1%EF%EE%EB%FC');
  for (let point = 0x80; point <= 0x10ffff; point += point < 0x3000 ? 1 : 977) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    const path = `/${encodeURIComponent(String.fromCodePoint(point))}`;
    assert.equal(normalisePath(path), path);
  }
});

// As logged by a public web server: all pass, and mean what they meant.
test('odd paths of real clients are accepted', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['//favicon.ico', '/favicon.ico'],
    ['/blog/geekery/jquery-interface-%20', '/blog/geekery/jquery-interface-%20'],
    ['/projects/xdotool%3E', '/projects/xdotool%3E'],
    ['/presentations/logstash-puppetconf-2012/lib/font/league_gothic-webfont.ttf)%20format(%22truetype%22',
      '/presentations/logstash-puppetconf-2012/lib/font/league_gothic-webfont.ttf)%20format(%22truetype%22'],
    ['/projects/xdotool/+++++Result:+chosen+nickname+%22awarovadoms%22;sent;', '/projects/xdotool/+++++Result:+chosen+nickname+%22awarovadoms%22;sent;'],
    ['/presentations/vim/+++Result:+%E8%F1%EF%EE%EB%FC%E7%EE%E2%E0%ED+%ED%E8%EA%ED%E5%E9%EC+%28JS%29;+c%27s+assert',
      '/presentations/vim/+++Result:+%E8%F1%EF%EE%EB%FC%E7%EE%E2%E0%ED+%ED%E8%EA%ED%E5%E9%EC+%28JS%29;+c%27s+assert'],
  ];
  for (const [given, expected] of cases) assert.equal(normalisePath(given), expected);
});

test('normalising twice is normalising once, and no dot segment, double slash or raw unsafe byte survives', () => {
  const pieces = ['/', '/', '//', '.', '..', '/.', '/..', '%2e', '%2E', 'a', 'B', ';', ';x', '%3b', '%25', '%', '%41', '%c3%a9', '%e0', '%C0', '%af', '\xe0', '\xbf', '"', '|', '~', '%7E', '2e', '2', 'f'];
  let state = 12345;
  const random = (below: number) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
  let accepted = 0;
  for (let round = 0; round < 200_000; round++) {
    let path = '/';
    for (let n = random(9); n > 0; n--) path += pieces[random(pieces.length)] as string;
    const once = normalisePath(path);
    if (once === null) continue;
    accepted++;
    assert.equal(normalisePath(once), once, path);
    assert.ok(/^\/[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*$/.test(once), once);
    assert.ok(!/\/\/|\/\.{1,2}(\/|$|;)|%2[eEfF]|%(?![0-9A-F]{2})|%[46][1-9A-F]|%[57][0-9A]/.test(once.replaceAll(/(?<=%C[01]|%(?:E0%[89]|F0%8.%[89AB]).)%2E/g, '_').replaceAll(/%(5[B-F]|7[B-F]|60|40)/g, '_')), `${path} -> ${once}`);
  }
  assert.ok(accepted > 50_000, String(accepted));
});
