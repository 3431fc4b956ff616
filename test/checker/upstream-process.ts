/**
 * The checker's own upstream, a process of its own: `--port N`, on 127.0.0.1. A path says how it is answered, `/c/<number>/<how>/…`:
 *
 *     len/BYTES            Content-Length            slow/BYTES/MS   the same, in pieces, over so long
 *     chunk/BYTES/PIECES   chunked                   stream/MS       chunked, a piece now and then, for so long
 *     close/BYTES          ends by closing           cut/BYTES       half of its Content-Length, then a reset
 *     cutchunk/BYTES       no last chunk, a reset    none/STATUS     no body
 *     post                 after the body, its length                early   before the body is read
 */
import { createServer, type ServerResponse } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { port: { type: 'string' } } });
const STREAM_PIECE_MS = 200;

const server = createServer({ keepAliveTimeout: 20_000 }, (request, response) => {
  const [, , , how = '', ...numbers] = (request.url ?? '').split('?')[0]?.split('/') ?? [];
  const [first = 0, second = 1] = numbers.map(Number);
  response.on('error', () => {});
  switch (how) {
    case 'len': response.setHeader('content-length', first); response.end(body(first)); break;
    case 'chunk': inPieces(response, first, second, 0); break;
    case 'slow': response.setHeader('content-length', first); inPieces(response, first, 10, second / 10); break;
    case 'stream': stream(response, Date.now() + first); break;
    case 'close': response.useChunkedEncodingByDefault = false; response.setHeader('connection', 'close'); response.end(body(first)); break;
    case 'cut': response.setHeader('content-length', first); response.write(body(Math.floor(first / 2)), () => { setTimeout(() => { response.socket?.resetAndDestroy(); }, 5); }); break;
    case 'cutchunk': response.write(body(first), () => { setTimeout(() => { response.socket?.resetAndDestroy(); }, 5); }); break;
    case 'none': response.statusCode = first; response.end(); break;
    case 'early': response.end('early'); break;
    case 'post': {
      let received = 0;
      request.on('data', (piece: Buffer) => { received += piece.length; });
      request.on('end', () => { response.end(String(received)); });
      return;
    }
    default: response.statusCode = 404; response.end('no such way to be answered');
  }
  request.resume();
});
server.requestTimeout = 0;
server.listen(Number(values.port), '127.0.0.1', () => { console.log(`upstream on ${values.port}`); });

/** `gapMs` between them; all at once without. */
function inPieces(response: ServerResponse, bytes: number, pieces: number, gapMs: number): void {
  const each = Math.ceil(bytes / Math.max(1, pieces));
  let left = bytes;
  const next = (): void => {
    if (left > 0) response.write(body(Math.min(each, left)));
    left -= each;
    if (left <= 0) response.end();
    else if (gapMs === 0) next();
    else setTimeout(next, gapMs);
  };
  next();
}

function stream(response: ServerResponse, untilMs: number): void {
  response.write('data: piece\n\n');
  const leftMs = untilMs - Date.now();
  if (response.destroyed) return;
  if (leftMs <= 0) response.end('data: end\n\n');
  else setTimeout(stream, Math.min(STREAM_PIECE_MS, leftMs), response, untilMs);
}

function body(bytes: number): Buffer {
  return Buffer.alloc(bytes, 'b');
}
