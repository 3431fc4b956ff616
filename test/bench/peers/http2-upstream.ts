/** A gRPC server's part of a unary call: reads the message, answers with one of 85 bytes and a status in trailers. Argument: port. */
import { createServer } from 'node:http2';

const MESSAGE = Buffer.alloc(85);
MESSAGE.writeUInt32BE(MESSAGE.length - 5, 1);

const server = createServer();
server.on('stream', (stream) => {
  stream.resume();
  stream.once('wantTrailers', () => { stream.sendTrailers({ 'grpc-status': '0' }); });
  stream.once('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.end(MESSAGE);
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGTERM', () => { process.exit(0); });
