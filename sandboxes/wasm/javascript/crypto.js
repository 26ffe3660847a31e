// The random half of Node's `crypto`. Hashes and ciphers are not here: a program that uses them moves on.
'use strict';

const { coded } = require('errors');
const { wrap } = require('buffer');

const MAX_VALUES = 65536;

function hex(bytes) { return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(''); }

function randomUUID() {
  const bytes = host.random(16);
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const text = hex(bytes);
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join('-');
}

function fill(view) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  for (let at = 0; at < bytes.length; at += MAX_VALUES) bytes.set(host.random(Math.min(MAX_VALUES, bytes.length - at)), at);
  return view;
}

function getRandomValues(view) {
  if (!ArrayBuffer.isView(view)) throw new TypeError('The data argument must be an integer-type TypedArray');
  if (view.byteLength > MAX_VALUES) throw new DOMException(`The requested length exceeds 65,536 bytes`, 'QuotaExceededError');
  return fill(view);
}

function randomBytes(size, done) {
  const bytes = wrap(fill(new Uint8Array(size)));
  if (typeof done === 'function') return process.nextTick(done, null, bytes);
  return bytes;
}

function randomInt(min, max, done) {
  if (max === undefined || typeof max === 'function') [min, max, done] = [0, min, max];
  if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max)) throw coded(TypeError, 'ERR_INVALID_ARG_TYPE', 'The "max" argument must be a safe integer');
  const range = max - min;
  if (range <= 0 || range > 2 ** 48) throw coded(RangeError, 'ERR_OUT_OF_RANGE', `The value of "max" is out of range. It must be greater than the value of "min" (${min}). Received ${max}`);
  const limit = 2 ** 48 - 2 ** 48 % range;
  let value;
  do value = host.random(6).reduce((sum, byte) => sum * 256 + byte, 0); while (value >= limit);
  const drawn = min + value % range;
  if (typeof done === 'function') return process.nextTick(done, null, drawn);
  return drawn;
}

// Returns a function that the sandbox does not have: where another tier can take the program, it moves on.
function absent(name) {
  return () => {
    host.need('module', 'node:crypto');
    throw coded(Error, 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', `crypto.${name} is not available in this sandbox`);
  };
}
const crypto = { randomUUID, randomBytes, randomInt, getRandomValues, pseudoRandomBytes: randomBytes, randomFillSync: fill, timingSafeEqual: (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]) };
for (const name of ['createHash', 'createHmac', 'hash', 'createCipheriv', 'createDecipheriv', 'createSign', 'createVerify', 'createDiffieHellman', 'createECDH', 'generateKeyPair', 'generateKeyPairSync', 'generateKey', 'generateKeySync', 'pbkdf2', 'pbkdf2Sync', 'scrypt', 'scryptSync', 'hkdf', 'hkdfSync', 'sign', 'verify', 'getHashes', 'getCiphers', 'createPublicKey', 'createPrivateKey', 'createSecretKey', 'publicEncrypt', 'privateDecrypt']) crypto[name] = absent(name);
const subtle = new Proxy({}, { get: (_, name) => (typeof name === 'symbol' || name === 'then' ? undefined : async () => absent(`subtle.${name}`)()) });
const webcrypto = { getRandomValues, randomUUID, subtle };
Object.assign(crypto, { webcrypto, subtle });

// `Math.random` draws its bytes in blocks; the block is dropped between cells, so that each cell is observed by itself.
let block = new Uint8Array(0), at = 0;
function random() {
  if (at + 8 > block.length) { block = host.random(256); at = 0; }
  let high = 0;
  for (let i = 0; i < 4; i++) high = high * 256 + block[at++];
  let low = 0;
  for (let i = 0; i < 4; i++) low = low * 256 + block[at++];
  return ((high >>> 5) * 67108864 + (low >>> 6)) / 9007199254740992;
}

module.exports = crypto;
Object.defineProperty(crypto, '_math', { value: { random: { random() { return random(); } }.random, reset: () => { block = new Uint8Array(0); at = 0; } }, enumerable: false });
