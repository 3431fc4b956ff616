import assert from 'node:assert/strict';
import { it } from 'node:test';
import { addressFault, cidrFault, hostHeaderFault, hostPatternFault, jwksUrlFault, targetUrlFault, timeZoneFault } from './values.js';

const TABLES: readonly (readonly [string, (text: string) => string | null, readonly string[], readonly string[]])[] = [
  ['addresses', addressFault,
    ['0.0.0.0:8080', '127.0.0.1:0', '[::]:8080', 'localhost:1', 'my-host.example:65535'],
    ['', ':80', '8080', 'host', 'host:', 'host:65536', '::1:80', '[::1]', '[::g]:1', '1.2.3:80', '1.2.3.400:80', 'a b:80', 'http://h:80', '[fe80::1%lo]:80', '-a:80']],
  ['host patterns', hostPatternFault,
    ['api.example.com', '*.example.com', 'localhost', '127.0.0.1', '[::1]', 'API.example.com', 'xn--bcher-kva.example', 'under_score.example'],
    ['', '*', '*.*.com', 'a.*.com', 'api.*', 'a.example:80', 'a.example.', '*.', '*.1.2.3.4', 'a..b', 'a/b', 'bücher.example', `${'a'.repeat(64)}.com`, 'http://a']],
  ['Hosts sent on', hostHeaderFault, ['a.example', 'a.example:8080', '[::1]:80', '10.0.0.1'], ['', 'a b', 'a:b', 'a\r\nX: y', 'a:8080:1']],
  ['targets', targetUrlFault,
    ['http://127.0.0.1:9001', 'https://h', 'http://h/', 'http://h/base/path', 'http://[::1]:80', 'HTTP://h', 'http://h/a%20b', 'http://h_1.internal:1'],
    ['', 'h', 'h:80', '//h', 'http:/h', 'http:h', 'http://', 'http://:80', 'ftp://h', 'h2c://h', 'http://u@h', 'http://u:p@h', 'http://h?x', 'http://h/#x', 'http://h?', 'http://h:0', 'http://h:', 'http://h:65536',
      'http://h:a', 'http://1.2', 'http://0x7f.1', 'http://1.2.3.999', 'http://h/a/../b', 'http://h//a', 'http://h/a b', 'http://h\\a', 'http://h/a\\b', ' http://h', 'http://h ', 'http://h\n', 'http://[::1', 'http://[::1%25lo]', 'http://é']],
  ['key set addresses', jwksUrlFault,
    ['https://idp.example/jwks', 'http://127.0.0.1:8080/jwks', 'http://localhost/jwks', 'http://[::1]/jwks'],
    ['', 'jwks.json', 'http://idp.example/jwks', 'http://127.example/jwks', 'ftp://h', 'https://u:p@h', 'data:application/json,{}', 'http://localhost.example/']],
  ['blocks of addresses', cidrFault,
    ['10.0.0.0/8', '10.1.2.3', '0.0.0.0/0', '::/0', '2001:db8::/32', '::1', '10.0.0.1/32'],
    ['', '10.0.0.0/33', '10.0.0', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8/8', '::/129', 'localhost', '::ffff:10.0.0.1', '::FFFF:10.0.0.0/104', 'fe80::1%eth0', '010.0.0.1']],
  ['time zones', timeZoneFault,
    ['UTC', 'Asia/Kolkata', 'Asia/Calcutta', 'Europe/Berlin', 'America/Argentina/ComodRivadavia', 'America/Port-au-Prince', 'Africa/Dar_es_Salaam', 'Antarctica/DumontDUrville', 'Etc/GMT+5', 'GMT', 'EST5EDT',
      'America/Indiana/Tell_City', 'Etc/UCT', 'US/East-Indiana', 'NZ-CHAT', 'W-SU', 'PRC', 'America/St_Johns', 'Asia/Ho_Chi_Minh', 'Europe/Kyiv'],
    ['', 'Mars/Base', 'utc', 'asia/kolkata', 'ASIA/KOLKATA', 'europe/berlin', 'EUROPE/BERLIN', '+05:30', 'Europe/berlin', 'Local', '../UTC']],
];

for (const [what, fault, good, bad] of TABLES) {
  it(`${what} are told from what only looks like them`, () => {
    for (const text of good) assert.equal(fault(text), null, text);
    for (const text of bad) assert.equal(typeof fault(text), 'string', JSON.stringify(text));
  });
}
