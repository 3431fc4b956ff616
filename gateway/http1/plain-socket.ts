/**
 * A plain TCP socket, read and written past the streams that node:net puts around it.
 *
 * All sockets read into one buffer: a read is parsed before the next begins, and the parser copies what it hands on. Node's own way makes a buffer of 64 KB and passes
 * several stream events for each read. A short text is written at once where nothing waits in the stream; node's own way passes five functions
 * and a tick of its queue. What is longer, or comes while something waits, goes by the stream, and so do connecting, pausing, ending, and every error.
 *
 * node:net has no words for this, except for the buffer of a socket that connects: its own marks and its handle are used. A version of Node that has others works its
 * usual way. test/conformance/plain-socket.test.ts says whether this one has them.
 */
import type { OnReadOpts, Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';

/** Gets a read: `count` bytes of `bytes`, which the next read of any socket writes over. */
export type OnRead = (bytes: Buffer, count: number) => void;

interface WriteRequest { oncomplete: (status: number) => void }

interface Handle {
  onread: (this: Handle, bytes: ArrayBuffer | undefined) => void;
  useUserBuffer(buffer: Uint8Array): void;
  /** Answers 0, or the system's error number. */
  writeLatin1String(request: WriteRequest, text: string): number;
}

/** What the last call of a handle left beside its answer. */
interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

const READ_BUFFER = Buffer.allocUnsafeSlow(64 * 1024);
/** Longer texts get a buffer of their own in the handle too. */
const DIRECT_BYTES = 16 * 1024;
const binding = streamBinding();

function streamBinding(): StreamBinding | null {
  try {
    const found = (process as unknown as { binding(name: string): Partial<StreamBinding> }).binding('stream_wrap');
    const { WriteWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync } = found;
    if (WriteWrap === undefined || streamBaseState === undefined || kReadBytesOrError === undefined || kLastWriteWasAsync === undefined) return null;
    return { WriteWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync };
  } catch {
    return null;
  }
}

/** For `net.connect`: the buffer of a socket that a PlainSocket is made of once it is connected. */
export function sharedRead(onRead: OnRead): OnReadOpts {
  return { buffer: READ_BUFFER, callback: shared(onRead) };
}

const shared = (onRead: OnRead) => (count: number): true => {
  onRead(READ_BUFFER, count);
  return true;
};

/**
 * The same for a socket that was accepted, before anything was read of it.
 */
export function readShared(socket: Socket, onRead: OnRead): void {
  const marks = Object.getOwnPropertySymbols(socket);
  const [buffer, callback] = ['kBuffer', 'kBufferCb'].map((name) => marks.find(({ description }) => description === name));
  const handle = handleOf(socket);
  if (buffer === undefined || callback === undefined || typeof handle?.useUserBuffer !== 'function') {
    socket.on('data', (chunk: Buffer) => { onRead(chunk, chunk.length); });
    return;
  }
  Object.assign(socket, { [buffer]: READ_BUFFER, [callback]: shared(onRead) });
  handle.useUserBuffer(READ_BUFFER);
  readDirect(socket, onRead);
}

/** Reads come from the handle; its ends and errors, as before, by the stream. Call it when the socket is connected, and reads into the shared buffer. */
export function readDirect(socket: Socket, onRead: OnRead): void {
  const handle = handleOf(socket);
  if (binding === null || typeof handle?.onread !== 'function') return;
  const { streamBaseState, kReadBytesOrError } = binding;
  const usual = handle.onread;
  handle.onread = function onread(bytes): void {
    const count = streamBaseState[kReadBytesOrError] as number;
    if (count > 0 && bytes === undefined && !socket.destroyed) onRead(READ_BUFFER, count);
    else usual.call(this, bytes);
  };
}

/** Writes short texts to the handle of a socket that is connected; of one that is encrypted all goes by the stream. */
export class DirectWriter {
  readonly #socket: Socket;
  /** Null while the system has not taken all of the last text. */
  #request: WriteRequest | null;
  #waits = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    const isPlain = !('encrypted' in socket) && typeof handleOf(socket)?.writeLatin1String === 'function';
    this.#request = binding === null || !isPlain ? null : new binding.WriteWrap();
  }

  /** False: the stream is full, its 'drain' follows. What fails is told by the stream's 'error'. A text is latin1. */
  write(bytes: Buffer | string): boolean {
    const socket = this.#socket;
    const request = this.#request;
    if (request === null || typeof bytes !== 'string' || bytes.length >= DIRECT_BYTES || socket.writableLength > 0 || socket.writableCorked > 0 || !socket.writable) {
      return socket.write(bytes, 'latin1');
    }
    const { streamBaseState, kLastWriteWasAsync } = binding as StreamBinding;
    const error = (handleOf(socket) as Handle).writeLatin1String(request, bytes);
    if (error !== 0) socket.destroy(failed(error));
    else if (streamBaseState[kLastWriteWasAsync] !== 0) this.#await(request);
    return true;
  }

  /** The system has all that was written. */
  get isEmpty(): boolean {
    return !this.#waits && this.#socket.writableLength === 0;
  }

  /** The rest is in the handle's own queue, less than a stream takes before it is full; what is written meanwhile goes behind it, by the stream. */
  #await(request: WriteRequest): void {
    this.#request = null;
    this.#waits = true;
    request.oncomplete = (status) => {
      this.#waits = false;
      if (status < 0) this.#socket.destroy(failed(status));
      else this.#request = new (binding as StreamBinding).WriteWrap();
    };
  }
}

const failed = (error: number): Error => Object.assign(new Error(`write ${getSystemErrorName(error)}`), { code: getSystemErrorName(error), syscall: 'write' });

const handleOf = (socket: Socket): Handle | null => (socket as unknown as { readonly _handle: Handle | null })._handle;
