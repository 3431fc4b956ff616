/** node:http2 on both sides, as one writes it first: a stream to the upstream for each of a client's, piped both ways. Arguments: port, upstream. */
import { connect, createServer, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';

const [port, upstream] = process.argv.slice(2) as [string, string];
let session: ClientHttp2Session | null = null;

function connected(): ClientHttp2Session {
  if (session === null || session.closed) session = connect(upstream);
  return session;
}

const server = createServer();
server.on('stream', (stream, headers) => {
  const call = connected().request({ ...headers, ':authority': new URL(upstream).host });
  let trailers: IncomingHttpHeaders = {};
  call.once('response', (answer) => { stream.respond(answer, { waitForTrailers: true }); });
  call.once('trailers', (received: IncomingHttpHeaders) => { trailers = received; });
  stream.once('wantTrailers', () => { stream.sendTrailers(trailers); });
  call.once('error', () => { stream.close(); });
  stream.once('error', () => { call.close(); });
  stream.pipe(call);
  call.pipe(stream);
});
server.listen(Number(port), '127.0.0.1');
process.on('SIGTERM', () => { process.exit(0); });
