// `TextEncoder`, `TextDecoder`, and the encodings of buffers.
'use strict';

const { coded } = require('errors');

class TextEncoder {
  get encoding() { return 'utf-8'; }
  encode(text = '') { return host.encode(String(text)); }
  encodeInto(text, target) {
    let read = 0, written = 0;
    for (const char of String(text)) {
      const bytes = host.encode(char);
      if (written + bytes.length > target.length) break;
      target.set(bytes, written);
      written += bytes.length;
      read += char.length;
    }
    return { read, written };
  }
}

const labels = new Map([
  ['utf-8', 'utf-8'], ['utf8', 'utf-8'], ['unicode-1-1-utf-8', 'utf-8'], ['utf-16le', 'utf-16le'], ['utf-16', 'utf-16le'],
  ['latin1', 'windows-1252'], ['ascii', 'windows-1252'], ['iso-8859-1', 'windows-1252'], ['windows-1252', 'windows-1252'],
]);

function viewOf(bytes) {
  if (bytes instanceof Uint8Array) return bytes;
  if (ArrayBuffer.isView(bytes)) return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new Uint8Array(bytes);
}

// Bytes at the end that begin a character of UTF-8 which is not complete.
function incomplete(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return size > back ? back : 0;
  }
  return 0;
}

class TextDecoder {
  #pending = new Uint8Array(0);
  #begun = false;
  constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
    this.encoding = labels.get(String(label).trim().toLowerCase());
    if (this.encoding === undefined) throw coded(RangeError, 'ERR_ENCODING_NOT_SUPPORTED', `The "${label}" encoding is not supported`);
    this.fatal = Boolean(fatal);
    this.ignoreBOM = Boolean(ignoreBOM);
  }
  decode(given = new Uint8Array(0), { stream = false } = {}) {
    let bytes = viewOf(given);
    if (this.#pending.length > 0) {
      const joined = new Uint8Array(this.#pending.length + bytes.length);
      joined.set(this.#pending);
      joined.set(bytes, this.#pending.length);
      bytes = joined;
    }
    const kept = !stream ? 0 : this.encoding === 'utf-8' ? incomplete(bytes) : this.encoding === 'utf-16le' ? bytes.length % 2 : 0;
    this.#pending = bytes.slice(bytes.length - kept);
    bytes = bytes.subarray(0, bytes.length - kept);
    let text;
    if (this.encoding === 'utf-8') text = host.decode(bytes, this.fatal);
    else if (this.encoding === 'utf-16le') {
      text = '';
      for (let at = 0; at + 1 < bytes.length; at += 2) text += String.fromCharCode(bytes[at] | (bytes[at + 1] << 8));
    } else text = latin1(bytes);
    if (text === undefined) throw coded(TypeError, 'ERR_ENCODING_INVALID_ENCODED_DATA', 'The encoded data was not valid for encoding utf-8');
    if (!this.#begun && !this.ignoreBOM && text.startsWith('\ufeff')) text = text.slice(1);
    this.#begun = stream && (this.#begun || bytes.length > 0);
    return text;
  }
}

function latin1(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}

module.exports = { TextEncoder, TextDecoder, incomplete, latin1, viewOf };
