/** The end of an HTTP/1.1 answer, found by Content-Length: all that the proxies under measurement send for the small answer. */

export class AnswerReader {
  /** What came of a head that is not whole. */
  #head = '';
  /** Of the body; -1: the head is not whole. */
  #bytesLeft = -1;

  /** The status when the answer is whole, else null. @throws Error: no answer of a known length, or more than one */
  read(chunk: Buffer): number | null {
    let bodyBytes = chunk.length;
    if (this.#bytesLeft === -1) {
      this.#head += chunk.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end === -1) return null;
      const length = /\r\ncontent-length: *(\d+)/i.exec(this.#head.slice(0, end))?.[1];
      if (length === undefined) throw new Error('an answer without Content-Length');
      this.#bytesLeft = Number(length);
      bodyBytes = this.#head.length - end - 4;
    }
    this.#bytesLeft -= bodyBytes;
    if (this.#bytesLeft < 0) throw new Error('more than one answer');
    if (this.#bytesLeft > 0) return null;
    const status = Number(this.#head.slice(9, 12));
    this.#head = '';
    this.#bytesLeft = -1;
    return status;
  }
}
