// Node's `buffer`.
'use strict';

const { coded, argumentType } = require('errors');
const { inspect, formatBytes } = require('inspect');
const { latin1, viewOf } = require('encoding');

const MAX_LENGTH = 2 ** 31 - 1;

function encodingOf(name = 'utf8') {
  const known = { utf8: 'utf8', 'utf-8': 'utf8', hex: 'hex', base64: 'base64', base64url: 'base64url', ascii: 'latin1', latin1: 'latin1', binary: 'latin1', ucs2: 'utf16le', 'ucs-2': 'utf16le', utf16le: 'utf16le', 'utf-16le': 'utf16le' };
  const found = known[String(name).toLowerCase()];
  if (found === undefined) throw coded(TypeError, 'ERR_UNKNOWN_ENCODING', `Unknown encoding: ${name}`);
  return found;
}

function encode(text, encoding) {
  switch (encodingOf(encoding)) {
    case 'utf8': return host.encode(text);
    case 'hex': {
      const clean = /^(?:[0-9a-fA-F]{2})*/.exec(text)[0];
      const bytes = new Uint8Array(clean.length / 2);
      for (let at = 0; at < bytes.length; at++) bytes[at] = parseInt(clean.slice(at * 2, at * 2 + 2), 16);
      return bytes;
    }
    case 'base64': case 'base64url': {
      let clean = text.replace(/-/g, '+').replace(/_/g, '/').replace(/[^A-Za-z0-9+/]/g, '');
      if (clean.length % 4 === 1) clean = clean.slice(0, -1);
      return Uint8Array.from(atob(clean.padEnd(Math.ceil(clean.length / 4) * 4, '=')), (char) => char.charCodeAt(0));
    }
    case 'latin1': return Uint8Array.from({ length: text.length }, (_, at) => text.charCodeAt(at) & 255);
    default: {
      const bytes = new Uint8Array(text.length * 2);
      for (let at = 0; at < text.length; at++) { bytes[at * 2] = text.charCodeAt(at) & 255; bytes[at * 2 + 1] = text.charCodeAt(at) >> 8; }
      return bytes;
    }
  }
}

function decode(bytes, encoding) {
  switch (encodingOf(encoding)) {
    case 'utf8': return host.decode(bytes, false);
    case 'hex': return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    case 'base64': return btoa(latin1(bytes));
    case 'base64url': return btoa(latin1(bytes)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
    case 'latin1': return encoding === 'ascii' ? latin1(bytes.map((byte) => byte & 127)) : latin1(bytes);
    default: {
      let text = '';
      for (let at = 0; at + 1 < bytes.length; at += 2) text += String.fromCharCode(bytes[at] | (bytes[at + 1] << 8));
      return text;
    }
  }
}

class Buffer extends Uint8Array {
  static from(value, encoding, length) {
    if (typeof value === 'string') return wrap(encode(value, encoding));
    if (value instanceof ArrayBuffer) return new Buffer(value, encoding ?? 0, length ?? value.byteLength - (encoding ?? 0));
    if (value?.type === 'Buffer' && Array.isArray(value.data)) return Buffer.from(value.data);
    if (ArrayBuffer.isView(value) || Array.isArray(value) || typeof value?.length === 'number') {
      const copy = new Buffer(value.length);
      for (let at = 0; at < value.length; at++) copy[at] = value[at];
      return copy;
    }
    const inner = value?.valueOf?.();
    if (inner !== undefined && inner !== null && inner !== value) return Buffer.from(inner, encoding, length);
    throw argumentType('first argument', 'of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object.', value);
  }
  static of(...bytes) { return Buffer.from(bytes); }
  static alloc(size, fill, encoding) {
    if (typeof size !== 'number') throw argumentType('size', 'of type number', size);
    if (!(size >= 0 && size <= MAX_LENGTH)) throw coded(RangeError, 'ERR_OUT_OF_RANGE', `The value of "size" is out of range. It must be >= 0 && <= ${MAX_LENGTH}. Received ${size}`);
    const buffer = new Buffer(size);
    return fill === undefined ? buffer : buffer.fill(fill, encoding);
  }
  static allocUnsafe(size) { return Buffer.alloc(size); }
  static allocUnsafeSlow(size) { return Buffer.alloc(size); }
  static isBuffer(value) { return value instanceof Buffer; }
  static isEncoding(name) { try { encodingOf(name); return typeof name === 'string'; } catch { return false; } }
  static byteLength(value, encoding) { return typeof value === 'string' ? encode(value, encoding).length : value.byteLength; }
  static concat(list, total = list.reduce((sum, one) => sum + one.length, 0)) {
    const joined = Buffer.alloc(total);
    let at = 0;
    for (const one of list) {
      const fits = one.subarray(0, total - at);
      joined.set(fits, at);
      at += fits.length;
    }
    return joined;
  }
  static compare(a, b) {
    for (let at = 0; at < Math.min(a.length, b.length); at++) if (a[at] !== b[at]) return a[at] < b[at] ? -1 : 1;
    return Math.sign(a.length - b.length);
  }
  get parent() { return this.buffer; }
  toString(encoding, start = 0, end = this.length) { return decode(this.subarray(start, end), encoding); }
  toLocaleString(encoding) { return this.toString(encoding); }
  toJSON() { return { type: 'Buffer', data: Array.from(this) }; }
  equals(other) { return Buffer.compare(this, other) === 0; }
  compare(other) { return Buffer.compare(this, other); }
  slice(start, end) { return this.subarray(start, end); }
  write(text, offset = 0, length, encoding) {
    if (typeof offset === 'string') { encoding = offset; offset = 0; length = undefined; }
    if (typeof length === 'string') { encoding = length; length = undefined; }
    const bytes = encode(text, encoding).subarray(0, Math.min(length ?? Infinity, this.length - offset));
    this.set(bytes, offset);
    return bytes.length;
  }
  copy(target, at = 0, start = 0, end = this.length) {
    const part = this.subarray(start, Math.min(end, start + target.length - at));
    target.set(part, at);
    return part.length;
  }
  fill(value, start = 0, end = this.length, encoding) {
    if (typeof start === 'string') { encoding = start; start = 0; end = this.length; }
    if (typeof value === 'string') value = encode(value, encoding);
    if (typeof value === 'number') return super.fill(value & 255, start, end);
    if (value.length === 0) return super.fill(0, start, end);
    for (let at = start; at < end; at++) this[at] = value[(at - start) % value.length];
    return this;
  }
  indexOf(value, from = 0, encoding) {
    if (typeof value === 'number') return super.indexOf(value & 255, from);
    const wanted = typeof value === 'string' ? encode(value, encoding) : value;
    for (let at = from < 0 ? Math.max(0, this.length + from) : from; at + wanted.length <= this.length; at++) {
      if (wanted.every((byte, index) => this[at + index] === byte)) return at;
    }
    return -1;
  }
  includes(value, from, encoding) { return this.indexOf(value, from, encoding) !== -1; }
  swap16() { for (let at = 0; at + 1 < this.length; at += 2) [this[at], this[at + 1]] = [this[at + 1], this[at]]; return this; }
  swap32() { for (let at = 0; at + 3 < this.length; at += 4) this.subarray(at, at + 4).reverse(); return this; }
  readUIntBE(offset, size) { let value = 0; for (let at = 0; at < size; at++) value = value * 256 + this[offset + at]; return value; }
  readUIntLE(offset, size) { let value = 0; for (let at = size - 1; at >= 0; at--) value = value * 256 + this[offset + at]; return value; }
  readIntBE(offset, size) { const value = this.readUIntBE(offset, size); return value >= 2 ** (size * 8 - 1) ? value - 2 ** (size * 8) : value; }
  readIntLE(offset, size) { const value = this.readUIntLE(offset, size); return value >= 2 ** (size * 8 - 1) ? value - 2 ** (size * 8) : value; }
  writeUIntBE(value, offset, size) { for (let at = size - 1; at >= 0; at--) { this[offset + at] = value % 256; value = Math.floor(value / 256); } return offset + size; }
  writeUIntLE(value, offset, size) { for (let at = 0; at < size; at++) { this[offset + at] = value % 256; value = Math.floor(value / 256); } return offset + size; }
  writeIntBE(value, offset, size) { return this.writeUIntBE(value < 0 ? value + 2 ** (size * 8) : value, offset, size); }
  writeIntLE(value, offset, size) { return this.writeUIntLE(value < 0 ? value + 2 ** (size * 8) : value, offset, size); }
  [inspect.custom]() { return `<${this.constructor.name} ${formatBytes(this)}>`; }
}

function wrap(bytes) {
  return new Buffer(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function outOfRange(offset, length) {
  return coded(RangeError, 'ERR_OUT_OF_RANGE', `The value of "offset" is out of range. It must be >= 0 and <= ${length}. Received ${offset}`);
}

// The numbers of a fixed size: `readInt16LE`, `writeDoubleBE` and their like.
const fixed = {
  UInt8: ['Uint8', 1], Int8: ['Int8', 1], UInt16: ['Uint16', 2], Int16: ['Int16', 2], UInt32: ['Uint32', 4], Int32: ['Int32', 4],
  BigUInt64: ['BigUint64', 8], BigInt64: ['BigInt64', 8], Float: ['Float32', 4], Double: ['Float64', 8],
};
for (const [name, [kind, size]] of Object.entries(fixed)) {
  for (const order of size === 1 ? [''] : ['LE', 'BE']) {
    const methods = {
      [`read${name}${order}`](offset = 0) {
        if (offset + size > this.length || offset < 0) throw outOfRange(offset, this.length - size);
        return new DataView(this.buffer, this.byteOffset)[`get${kind}`](offset, order === 'LE');
      },
      [`write${name}${order}`](value, offset = 0) {
        if (offset + size > this.length || offset < 0) throw outOfRange(offset, this.length - size);
        new DataView(this.buffer, this.byteOffset)[`set${kind}`](offset, value, order === 'LE');
        return offset + size;
      },
    };
    for (const [method, value] of Object.entries(methods)) {
      for (const alias of [method, method.replace('UInt', 'Uint')]) {
        Object.defineProperty(Buffer.prototype, alias, { value, writable: true, configurable: true });
      }
    }
  }
}

class Blob {
  #bytes;
  constructor(parts = [], { type = '' } = {}) {
    this.#bytes = Buffer.concat(parts.map((part) => part instanceof Blob ? part.#bytes : typeof part === 'string' ? Buffer.from(part) : wrap(viewOf(part))));
    this.type = type;
  }
  get size() { return this.#bytes.length; }
  async text() { return this.#bytes.toString(); }
  async arrayBuffer() { return this.#bytes.buffer.slice(this.#bytes.byteOffset, this.#bytes.byteOffset + this.size); }
  async bytes() { return new Uint8Array(this.#bytes); }
  slice(start, end, type) { return new Blob([this.#bytes.subarray(start, end)], { type }); }
}

Buffer.poolSize = 8192;
// `Buffer(…)` without `new` is as old as Node.
const callable = new Proxy(Buffer, {
  apply: (_, __, [value, encoding, length]) => typeof value === 'number' ? Buffer.alloc(value) : Buffer.from(value, encoding, length),
  construct: (target, values, as) => typeof values[0] === 'string' || Array.isArray(values[0]) || values[0] instanceof Uint8Array
    ? Buffer.from(...values) : Reflect.construct(target, values, as === callable ? target : as),
});
Object.defineProperty(Buffer.prototype, 'constructor', { value: callable, writable: true, configurable: true });

module.exports = { Buffer: callable, Blob, atob, btoa, constants: { MAX_LENGTH, MAX_STRING_LENGTH: 2 ** 29 - 24 }, kMaxLength: MAX_LENGTH, encode, decode, wrap };
