import assert from 'node:assert/strict';
import { test } from 'node:test';
import { heldMemory } from '../../../test/conformance/held-memory.js';
import { MessageParser } from '../../http1/message-parser.js';
import { RequestHead } from './request-head.js';

const LIMITS = { fields: 100, targetBytes: 8192 };
const CONNECTIONS = 500;

test('what a connection keeps of its last Host keeps nothing else of the head that it came in', () => {
  const heads = Array.from({ length: CONNECTIONS }, () => new RequestHead());
  const before = heldMemory();
  for (const parts of heads) {
    // a parser's head holds its last message's fields: one for each size
    for (const bytes of [7000, 1]) {
      const parser = new MessageParser('request', {
        onMessageBegin() {}, onBody() {}, onMessageComplete() {},
        onHead: (head) => {
          assert.equal(parts.read(head, LIMITS), null);
          assert.deepEqual([parts.host, parts.authority], ['a-host-of-some-length.example', 'a-host-of-some-length.example']);
          return false;
        },
      }, 16 * 1024);
      const request = Buffer.from(`GET / HTTP/1.1\r\nHost: a-host-of-some-length.example\r\nX: ${'x'.repeat(bytes)}\r\n\r\n`);
      assert.equal(parser.takeWhole(request, 0, request.length), request.length);
    }
  }
  const kept = (heldMemory() - before) / CONNECTIONS;
  assert.ok(kept < 2000, `${Math.round(kept)} bytes a connection`);
  assert.equal(heads.length, CONNECTIONS);
});
