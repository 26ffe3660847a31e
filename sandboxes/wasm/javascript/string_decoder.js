// Node's `string_decoder`: bytes as text, piece by piece.
'use strict';

const { TextDecoder, viewOf } = require('encoding');
const { decode } = require('buffer');

class StringDecoder {
  #decoder;
  #left = new Uint8Array(0);
  constructor(encoding = 'utf8') {
    this.encoding = String(encoding).toLowerCase().replace('utf-8', 'utf8');
    if (this.encoding === 'utf8') this.#decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    if (this.encoding === 'utf16le' || this.encoding === 'ucs2') this.#decoder = new TextDecoder('utf-16le', { ignoreBOM: true });
  }
  write(bytes) {
    if (typeof bytes === 'string') return bytes;
    if (this.#decoder !== undefined) return this.#decoder.decode(bytes, { stream: true });
    const size = this.encoding.startsWith('base64') ? 3 : 1;
    const all = Uint8Array.from([...this.#left, ...viewOf(bytes)]);
    const whole = all.length - all.length % size;
    this.#left = all.slice(whole);
    return decode(all.subarray(0, whole), this.encoding);
  }
  end(bytes) {
    const text = bytes === undefined ? '' : this.write(bytes);
    if (this.#decoder !== undefined) return text + this.#decoder.decode();
    const rest = decode(this.#left, this.encoding);
    this.#left = new Uint8Array(0);
    return text + rest;
  }
}

module.exports = { StringDecoder };
