/**
 * Reads of plain sockets into one buffer that all of them share: a read is parsed before the next begins, and the parser copies what it hands on. Node's own
 * way makes a buffer of 64 KB and passes several stream events for each read: 3 to 4 of 10 us of JavaScript that a bare proxy of plain sockets takes a request.
 */
import type { OnReadOpts, Socket } from 'node:net';

const READ_BUFFER = Buffer.allocUnsafeSlow(64 * 1024);

/** For `net.connect`. `onRead` gets a view that the next read of any socket writes over. */
export function sharedRead(onRead: (chunk: Buffer) => void): OnReadOpts {
  return { buffer: READ_BUFFER, callback: shared(onRead) };
}

const shared = (onRead: (chunk: Buffer) => void) => (bytes: number): true => {
  onRead(READ_BUFFER.subarray(0, bytes));
  return true;
};

interface Handle { useUserBuffer(buffer: Uint8Array): void }

/**
 * The same for a socket that was accepted, before anything was read of it. node:net has no word for that, so its own marks are set; a version of Node that
 * has others is read its usual way. test/conformance/shared-read.test.ts says whether this one has them.
 */
export function readShared(socket: Socket, onRead: (chunk: Buffer) => void): void {
  const marks = Object.getOwnPropertySymbols(socket);
  const [buffer, callback] = ['kBuffer', 'kBufferCb'].map((name) => marks.find(({ description }) => description === name));
  const { _handle: handle } = socket as unknown as { readonly _handle: Handle | null };
  if (buffer === undefined || callback === undefined || typeof handle?.useUserBuffer !== 'function') {
    socket.on('data', onRead);
    return;
  }
  Object.assign(socket, { [buffer]: READ_BUFFER, [callback]: shared(onRead) });
  handle.useUserBuffer(READ_BUFFER);
}
