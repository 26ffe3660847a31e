// Node's `readline` on standard input.
'use strict';

const EventEmitter = require('events');
const { later } = require('timers');

class Interface extends EventEmitter {
  #source;
  #closed = false;
  #paused = false;
  #asked = [];
  #prompt = '> ';
  #output;
  constructor({ input, output, prompt } = {}) {
    super();
    this.#output = output;
    if (prompt !== undefined) this.#prompt = prompt;
    this.terminal = false;
    this.line = '';
    if (input === undefined || input === process.stdin || input?.fd === 0) this.#source = { next: () => process._readLine() };
    else {
      let lines;
      this.#source = { next: () => {
        lines ??= this.#lines(input);
        return lines.next().value ?? null;
      } };
    }
    later(() => this.#flow());
  }
  *#lines(input) {
    let text = '';
    for (let piece = input.read(); piece !== null; piece = input.read()) text += piece;
    if (text.endsWith('\n')) text = text.slice(0, -1);
    if (text !== '') yield* text.split(/\r?\n/);
  }
  #flow() {
    if (this.#closed || this.#paused) return;
    if (this.#asked.length === 0 && this.listenerCount('line') === 0) return;
    const line = this.#source.next();
    if (line === null) return this.close();
    const question = this.#asked.shift();
    if (question !== undefined) question(line);
    else this.emit('line', line);
    later(() => this.#flow());
  }
  on(name, listener) {
    super.on(name, listener);
    if (name === 'line') later(() => this.#flow());
    return this;
  }
  addListener(name, listener) { return this.on(name, listener); }
  once(name, listener) {
    super.once(name, listener);
    if (name === 'line') later(() => this.#flow());
    return this;
  }
  question(text, options, done = options) {
    this.#output?.write(text);
    this.#asked.push(done);
    later(() => this.#flow());
  }
  setPrompt(text) { this.#prompt = text; }
  getPrompt() { return this.#prompt; }
  prompt() { this.#output?.write(this.#prompt); }
  write(text) { this.#output?.write(text); }
  pause() { this.#paused = true; return this; }
  resume() { this.#paused = false; later(() => this.#flow()); return this; }
  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.emit('close');
  }
  [Symbol.dispose ?? Symbol.for('dispose')]() { this.close(); }
  async *[Symbol.asyncIterator]() {
    this.#paused = true;
    for (let line = this.#source.next(); line !== null && !this.#closed; line = this.#source.next()) yield line;
    this.close();
  }
}

class PromisesInterface extends Interface {
  question(text) { return new Promise((resolve) => super.question(text, resolve)); }
}

const createInterface = (input, output) => new Interface(input?.read !== undefined && input.input === undefined ? { input, output } : input);
module.exports = {
  Interface, createInterface,
  clearLine: () => true, cursorTo: () => true, moveCursor: () => true, clearScreenDown: () => true, emitKeypressEvents() {},
  promises: { Interface: PromisesInterface, createInterface: (options) => new PromisesInterface(options) },
};
