// The part of Node's streams that standard input, files and standard output use.
'use strict';

const EventEmitter = require('events');
const { StringDecoder } = require('string_decoder');
const { later } = require('timers');

// A stream of the pieces that an iterator gives.
class Readable extends EventEmitter {
  #pieces;
  #decoder;
  #state = 'new';
  #unread = [];
  constructor(pieces, { encoding } = {}) {
    super();
    this.#pieces = pieces[Symbol.iterator]();
    this.readable = true;
    this.readableEnded = false;
    this.destroyed = false;
    if (encoding) this.setEncoding(encoding);
  }
  static from(pieces) { return new Readable(pieces); }
  setEncoding(encoding) { this.#decoder = new StringDecoder(encoding); return this; }
  #next() {
    if (this.#unread.length > 0) return this.#unread.shift();
    for (;;) {
      const { value, done } = this.#pieces.next();
      if (done) {
        const rest = this.#decoder?.end();
        if (rest) { this.#decoder = undefined; return rest; }
        return null;
      }
      if (this.#decoder === undefined || typeof value === 'string') return value;
      const text = this.#decoder.write(value);
      if (text !== '') return text;
    }
  }
  #end() {
    if (this.readableEnded) return;
    this.readableEnded = true;
    this.readable = false;
    this.#state = 'ended';
    this.emit('end');
    this.emit('close');
  }
  #flow() {
    if (this.#state !== 'flowing' || this.destroyed) return;
    const piece = this.#next();
    if (piece === null) return this.#end();
    this.emit('data', piece);
    later(() => this.#flow());
  }
  on(name, listener) {
    super.on(name, listener);
    if (name === 'data') this.resume();
    if (name === 'readable' && this.#state === 'new') {
      this.#state = 'read';
      later(() => this.#offer());
    }
    return this;
  }
  addListener(name, listener) { return this.on(name, listener); }
  once(name, listener) {
    super.once(name, listener);
    if (name === 'data') this.resume();
    if (name === 'readable') later(() => this.emit('readable'));
    return this;
  }
  #offer() {
    if (this.#state !== 'read') return;
    const piece = this.#next();
    if (piece === null) { this.#state = 'done'; this.emit('readable'); return later(() => this.#end()); }
    this.#unread.unshift(piece);
    this.emit('readable');
    // A listener that reads nothing is not called again.
    if (!this.#unread.includes(piece)) later(() => this.#offer());
  }
  read() {
    const piece = this.#next();
    return piece;
  }
  unshift(piece) { this.#unread.unshift(piece); }
  resume() {
    if (this.#state === 'new' || this.#state === 'paused') { this.#state = 'flowing'; later(() => this.#flow()); }
    return this;
  }
  pause() { if (this.#state === 'flowing') this.#state = 'paused'; return this; }
  isPaused() { return this.#state === 'paused'; }
  pipe(target) {
    this.on('data', (piece) => target.write(piece));
    this.once('end', () => { if (target !== process.stdout && target !== process.stderr) target.end(); });
    return target;
  }
  destroy(error) {
    if (!this.destroyed) { this.destroyed = true; later(() => { if (error) this.emit('error', error); this.emit('close'); }); }
    return this;
  }
  ref() { return this; }
  unref() { return this; }
  async *[Symbol.asyncIterator]() {
    this.#state = 'iterated';
    for (let piece = this.#next(); piece !== null; piece = this.#next()) yield piece;
    this.#end();
  }
}

class Writable extends EventEmitter {
  #write;
  #final;
  constructor({ write, final = () => {} }) {
    super();
    this.#write = write;
    this.#final = final;
    this.writable = true;
    this.writableEnded = false;
  }
  write(piece, encoding, done) {
    if (typeof encoding === 'function') [done, encoding] = [encoding, undefined];
    if (typeof piece !== 'string' && !ArrayBuffer.isView(piece)) throw require('errors').argumentType('chunk', 'of type string or an instance of Buffer, TypedArray, or DataView', piece);
    this.#write(piece, encoding);
    if (typeof done === 'function') later(done);
    return true;
  }
  end(piece, encoding, done) {
    if (typeof piece === 'function') [done, piece] = [piece, undefined];
    if (piece !== undefined && piece !== null) this.write(piece, encoding);
    if (this.writableEnded) return this;
    this.writableEnded = true;
    this.#final();
    later(() => { this.emit('finish'); this.emit('close'); if (typeof done === 'function') done(); });
    return this;
  }
  cork() {}
  uncork() {}
  destroy() { return this.end(); }
}

module.exports = { Readable, Writable };
