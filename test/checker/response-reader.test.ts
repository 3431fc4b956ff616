/** What counts as answered: a response whose end was framed, however its bytes are cut. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResponseReader, type ReadResponse } from './response-reader.js';

const HEAD = 'HTTP/1.1 200 OK\r\nX-Request-Id: 00000000000000aa-1\r\n';

/** Read whole, and byte by byte: both must see the same. */
function read(text: string, methods: readonly string[] = ['GET']): readonly ReadResponse[] {
  const [whole, single] = [[text], [...text]].map((pieces) => {
    const responses: ReadResponse[] = [];
    const reader = new ResponseReader((response) => { responses.push(response); });
    reader.methods.push(...methods);
    for (const piece of pieces) reader.push(Buffer.from(piece, 'latin1'));
    return responses;
  });
  assert.deepEqual(single, whole);
  return whole ?? [];
}

test('Content-Length, chunks with an extension and trailers, and no body at all, are complete; one byte less is not', () => {
  const complete = { status: 200, id: '00000000000000aa-1', closes: false };
  for (const [text, bytes] of [
    [`${HEAD}Content-Length: 3\r\n\r\nabc`, 3], [`${HEAD}Content-Length: 0\r\n\r\n`, 0],
    [`${HEAD}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n`, 4], [`${HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 0],
  ] as const) {
    assert.deepEqual(read(text), [{ ...complete, bytes }], text);
    assert.deepEqual(read(text.slice(0, -1)), [], text);
  }
  assert.deepEqual(read(`${HEAD}Content-Length: 3\r\n\r\n`, ['HEAD']), [{ ...complete, bytes: 0 }]);
  assert.deepEqual(read('HTTP/1.1 204 No Content\r\n\r\n'), [{ status: 204, id: null, bytes: 0, closes: false }]);
});

test('what ends by closing is never complete', () => {
  assert.deepEqual(read(`${HEAD}Connection: close\r\n\r\nabc`), []);
});

test('pipelined responses come in order, 1xx are none, and the last says that it closes', () => {
  const texts = ['HTTP/1.1 100 Continue\r\n\r\n', `${HEAD}Content-Length: 9\r\n\r\n`, 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n', 'HTTP/1.1 429 Too Many\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx'];
  assert.deepEqual(read(texts.join(''), ['HEAD', 'GET']).map(({ status, closes }) => [status, closes]), [[200, false], [429, true]]);
  assert.equal(read('HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n')[0]?.closes, true);
});

test('what is no HTTP is refused', () => {
  assert.throws(() => read('HTTP/1.1 xx\r\n\r\n'), /no status line/);
  assert.throws(() => read(`${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n`), /no chunk size/);
});
