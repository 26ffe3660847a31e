// What the host calls: runs programs and cells, and gives them the globals of Node.
'use strict';

const errors = require('errors');
const { inspect } = require('inspect');
const timers = require('timers');
const fs = require('fs');
const process = require('process');
const modules = require('modules');
const crypto = require('crypto');

const ASYNC = 128;
const RESULT = 'switchtower__result';
const MAX_JSON = 1 << 20;

// An error that nobody caught: it ends the program.
class Fatal {
  constructor(error, promise) {
    this.error = error;
    this.promise = promise;
  }
}

// The sources of the program and its cells, for the line that an error shows.
const sources = new Map();
const sourceOf = (name) => sources.get(name) ?? fs._sourceOf(name);

function define(name, value, enumerable = false) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable });
}

function absentGlobal(name, need, detail) {
  define(name, class {
    constructor(...values) {
      host.need(need, detail ?? String(values[0] ?? name));
      throw new ReferenceError(`${name} is not defined`);
    }
  });
  Object.defineProperty(globalThis[name], 'name', { value: name });
}

function installGlobals() {
  const { URL, URLSearchParams } = require('url');
  const { TextEncoder, TextDecoder } = require('encoding');
  const { Event, EventTarget, AbortController, AbortSignal } = require('events');
  const { Buffer, Blob } = require('buffer');
  const { performance } = require('perf_hooks');
  for (const [name, value] of Object.entries({
    URL, URLSearchParams, TextEncoder, TextDecoder, Event, EventTarget, AbortController, AbortSignal, Buffer, Blob, performance, process,
    console: require('console'), structuredClone: require('structured_clone'), crypto: crypto.webcrypto, global: globalThis,
    setTimeout: timers.setTimeout, setInterval: timers.setInterval, setImmediate: timers.setImmediate, clearTimeout: timers.clearTimeout,
    clearInterval: timers.clearInterval, clearImmediate: timers.clearImmediate, queueMicrotask: timers.queueMicrotask,
  })) define(name, value);
  define('readline', (text = '') => {
    if (text !== '') host.write(1, String(text));
    return process._readLine();
  });
  define('prompt', (text = '', value = null) => {
    if (text !== '') host.write(1, `${text} `);
    return process._readLine() ?? value;
  });
  define('fetch', async function fetch(target) {
    const url = typeof target === 'object' && target !== null && 'url' in target ? target.url : String(target);
    host.need('network', url);
    throw Object.assign(new TypeError('fetch failed'), { cause: Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }) });
  });
  // What the translation of decorators calls.
  define('babelHelpers', {
    decorate(decorators, target, key, descriptor) {
      let value = key === undefined ? target : descriptor === null ? Object.getOwnPropertyDescriptor(target, key) : descriptor;
      for (const decorator of [...decorators].reverse()) {
        value = (key === undefined ? decorator(value) : descriptor === undefined ? decorator(target, key) : decorator(target, key, value)) || value;
      }
      if (key !== undefined && value && descriptor !== undefined) Object.defineProperty(target, key, value);
      return value;
    },
    decorateParam: (index, decorator) => (target, key) => decorator(target, key, index),
    decorateMetadata: () => () => {},
  });
  absentGlobal('WebSocket', 'network');
  absentGlobal('EventSource', 'network');
  absentGlobal('XMLHttpRequest', 'network', 'XMLHttpRequest');
  absentGlobal('Worker', 'threads');
  Object.defineProperty(globalThis, 'WebAssembly', { configurable: true, enumerable: false, get() { host.need('language', 'WebAssembly'); return undefined; } });
  Object.defineProperty(Math, 'random', { value: crypto._math.random, writable: true, configurable: true, enumerable: false });
  // There is one thread, so that every operation is atomic, and nothing can change what it waits for.
  const change = (compute) => (array, index, value) => { const before = array[index]; array[index] = compute(before, value); return before; };
  define('Atomics', {
    load: (array, index) => array[index],
    store: (array, index, value) => (array[index] = value),
    add: change((a, b) => a + b), sub: change((a, b) => a - b), and: change((a, b) => a & b), or: change((a, b) => a | b), xor: change((a, b) => a ^ b),
    exchange: change((_, value) => value),
    compareExchange(array, index, expected, value) { const before = array[index]; if (before === expected) array[index] = value; return before; },
    isLockFree: () => true,
    notify: () => 0,
    wait(array, index, value, time = Infinity) {
      if (array[index] !== value) return 'not-equal';
      host.sleep(Math.min(Number(time), 2 ** 31));
      return 'timed-out';
    },
    [Symbol.toStringTag]: 'Atomics',
  });
  Object.defineProperty(globalThis, Symbol.toStringTag, { value: 'global', configurable: true });
  require('locale')();
  Error.prepareStackTrace = errors.prepareStackTrace;
  Error.stackTraceLimit = 10;
}

// Shows the value of the last expression.
function show(value) {
  // What registers a listener or a timer gives back the object itself, which says nothing.
  if (value === undefined || value instanceof require('events') || timers.isTimer(value)) return;
  const data = { 'text/plain': inspect(value) };
  if (typeof value === 'object' && value !== null && !host.isError(value)) {
    try {
      const json = JSON.stringify(value);
      if (typeof json === 'string' && json.length <= MAX_JSON) data['application/json'] = json;
    } catch { /* A value that is no JSON has its text alone. */ }
  }
  host.show(JSON.stringify(data), true);
}

function onFailure(error, promise) {
  if (error instanceof Fatal) throw error;
  if (error instanceof process._ProcessExit) throw new Fatal(error);
  if (promise !== undefined && process.listenerCount('unhandledRejection') > 0) return void process.emit('unhandledRejection', error, promise);
  if (process.listenerCount('uncaughtException') > 0) return void process.emit('uncaughtException', error, promise === undefined ? 'uncaughtException' : 'unhandledRejection');
  throw new Fatal(error, promise);
}

function report(fatal, filename) {
  let { error } = fatal;
  if (fatal.promise !== undefined && !host.isError(error)) {
    const text = `This error originated either by throwing inside of an async function without a catch block, or by rejecting a promise which was not handled with .catch(). The promise rejected with the reason "${typeof error === 'string' ? error : inspect(error)}".`;
    const value = typeof error === 'string' ? error : inspect(error);
    host.fail('UnhandledPromiseRejection', value, `[UnhandledPromiseRejection: ${text}] {\n  code: 'ERR_UNHANDLED_REJECTION'\n}`, 0);
    return;
  }
  const { name, value, traceback, line } = errors.describe(error, sourceOf, filename);
  host.fail(name, value, traceback, line);
}

// Runs `main` and then the event loop. Returns the exit code, or -1 after an error that nobody caught.
function guarded(filename, main) {
  timers.onFailure(onFailure);
  try {
    main();
    if (!process._isKernel()) {
      process.emit('beforeExit', process.exitCode ?? 0);
      timers.run();
    }
    return process._emitExit(process.exitCode ?? 0);
  } catch (caught) {
    const fatal = caught instanceof Fatal ? caught : new Fatal(caught);
    timers.clear();
    if (fatal.error instanceof process._ProcessExit) return fatal.error.exitCode;
    report(fatal, filename);
    if (!process._isKernel()) try { process._emitExit(1); } catch { /* The first error is the one that counts. */ }
    return -1;
  } finally {
    process._end();
  }
}

// Calls the program's code; an error goes where every uncaught error goes.
function attempt(run) {
  try {
    return run();
  } catch (error) {
    onFailure(error);
    return undefined;
  }
}

// Runs the event loop until a promise is settled, and returns its value.
function settled(promise, intervals) {
  let state = 'pending', value;
  promise.then((given) => { state = 'done'; value = given; }, (error) => { state = 'failed'; value = error; });
  timers.run({ done: () => state !== 'pending', intervals });
  if (state === 'failed') onFailure(value, host.isError(value) ? undefined : promise);
  if (state === 'pending') process.exitCode ??= 13;
  return state === 'done' ? value : undefined;
}

function place(filename, source, edits) {
  sources.set(filename, source);
  errors.inserted.set(filename, edits);
}

modules.setImport((name) => {
  const text = modules.source(name);
  return host.compile(text, name, modules.MODULE);
});
installGlobals();

module.exports = {
  resolve: modules.resolve,
  source: modules.source,
  rejection: timers.onRejection,
  place: fs._place,
  // Runs a program. `given`: its original source, what was inserted into it, its arguments and form.
  program(code, given) {
    const { source, edits, filename, form, argv, hasValue } = JSON.parse(given);
    process._begin({ argv, hasStdin: true, isCell: false, environment: {} });
    place(filename, source, edits);
    return guarded(filename, () => {
      const main = modules.main(filename);
      let value = attempt(() => {
        if (form === 'module') return host.compile(modules.withMeta(code, filename), filename, modules.MODULE);
        const run = modules.wrap(code, filename, { isAsync: form === 'async' });
        return run.call(main.exports, main.exports, main.require, main, filename, '/home/user');
      });
      const isPromise = host.promiseState(value) >= 0;
      if (isPromise && (form !== 'script' || hasValue)) value = settled(value, true);
      if (form === 'module') value = value?.[RESULT];
      if (host.promiseState(value) >= 0 && hasValue) value = settled(value, true);
      // What the program prints comes before the value of its last expression.
      timers.run();
      if (hasValue) show(value);
    });
  },
  // Runs a cell, whose declarations are global.
  cell(code, given) {
    const { source, edits, filename, form, environment, folder, hasStdin, hasValue } = JSON.parse(given);
    if (folder !== null) { fs.mkdirSync(folder, { recursive: true }); fs._takeChanges(() => {}); }
    crypto._math.reset();
    process._begin({ argv: ['/usr/bin/node'], hasStdin, isCell: true, environment, folder: folder ?? undefined });
    place(filename, source, edits);
    if (globalThis.require === undefined) {
      const main = modules.main('/home/user/cell.js');
      for (const [name, value] of Object.entries({ require: main.require, module: main, exports: main.exports, __filename: main.filename, __dirname: '/home/user' })) define(name, value);
    }
    const code_ = guarded(filename, () => {
      let value = attempt(() => host.compile(code, filename, form === 'async' ? ASYNC : modules.GLOBAL));
      if (form === 'async' && host.promiseState(value) >= 0) value = settled(value, false)?.value;
      if (hasValue && host.promiseState(value) >= 0) value = settled(value, false);
      timers.run({ intervals: false });
      if (hasValue) show(value);
    });
    fs._closeAll();
    fs._takeChanges((name, kind, bytes) => host.change(name, kind, bytes ?? new Uint8Array(0)));
    return code_;
  },
  // Runs code of the host's own, outside of the names of cells.
  internal(code) {
    process._begin({ argv: ['/usr/bin/node'], hasStdin: false, isCell: true, environment: {} });
    return guarded('/internal.js', () => {
      host.compile(`(function () {${code}\n})`, '/internal.js', modules.GLOBAL)();
      timers.run({ intervals: false });
    });
  },
  // The first program of every instance writes to the pages that most programs write to.
  warm() {
    const run = host.compile('(function () { const o = { a: [1, 2, { b: 1 }], m: new Map([[1, 2]]) }; return [o].map((x) => JSON.stringify(x)).join(); })', '/warm.js', modules.GLOBAL);
    run();
    inspect({ a: [1, 2, 3], b: 'text', c: new Map() });
    timers.run();
  },
  modules: () => modules.builtinNames.join('\n'),
};
