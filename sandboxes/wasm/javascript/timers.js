// The event loop: timers on the program's own clock, immediates, ticks and promise jobs.
//
// Time passes for timers only while nothing else is left to do. Then the clock is moved to the next timer, so that
// waiting takes no time and the order of timers is the same in every run.
'use strict';

const { inspect } = require('inspect');

const enqueue = globalThis.queueMicrotask;
const MAX_DELAY = 2 ** 31 - 1;
let now = 0, sequence = 0, order = 0;
let timers = new Map(), immediates = [], ticks = [], tasks = [];
let rejected = new Map();
let failed = (error) => { throw error; };

class Timeout {
  constructor(callback, delay, values, repeat) {
    delay = Number(delay);
    this._delay = delay >= 1 && delay <= MAX_DELAY ? Math.trunc(delay) : 1;
    this._callback = callback;
    this._values = values;
    this._repeat = repeat;
    this._referenced = true;
    this._id = ++sequence;
    this._start();
    for (const name of Object.keys(this)) Object.defineProperty(this, name, { enumerable: false });
  }
  _start() {
    this._due = now + this._delay;
    this._order = ++order;
    timers.set(this._id, this);
  }
  ref() { this._referenced = true; return this; }
  unref() { this._referenced = false; return this; }
  hasRef() { return this._referenced; }
  refresh() { this._start(); return this; }
  close() { timers.delete(this._id); return this; }
  [Symbol.toPrimitive]() { return this._id; }
  [Symbol.dispose ?? Symbol.for('dispose')]() { this.close(); }
}

class Immediate {
  constructor(callback, values) {
    Object.defineProperties(this, { _callback: { value: callback, writable: true }, _values: { value: values } });
  }
  ref() { return this; }
  unref() { return this; }
  hasRef() { return true; }
}

function callable(callback) {
  if (typeof callback !== 'function') throw require('errors').argumentType('callback', 'of type function', callback);
  return callback;
}

const setTimeout = (callback, delay, ...values) => new Timeout(callable(callback), delay, values, false);
const setInterval = (callback, delay, ...values) => new Timeout(callable(callback), delay, values, true);
function setImmediate(callback, ...values) {
  const immediate = new Immediate(callable(callback), values);
  immediates.push(immediate);
  return immediate;
}
function clearTimeout(timer) {
  if (timer === undefined || timer === null) return;
  timers.delete(typeof timer === 'object' ? timer._id : Number(timer));
}
const clearInterval = (timer) => clearTimeout(timer);
function clearImmediate(immediate) {
  if (immediate instanceof Immediate) immediate._callback = () => {};
}
function nextTick(callback, ...values) {
  ticks.push([callable(callback), values]);
}
function queueMicrotask(callback) {
  callable(callback);
  enqueue(() => guarded(callback, []));
}

// Runs a function soon, in the order in which events arrive.
function later(callback) {
  tasks.push(callback);
}

function guarded(callback, values) {
  try {
    return callback(...values);
  } catch (error) {
    failed(error);
    return undefined;
  }
}

// Runs ticks and promise jobs until there are none, then looks at the rejections that nobody handled.
function settle() {
  for (;;) {
    do {
      while (ticks.length > 0) {
        const batch = ticks;
        ticks = [];
        for (const [callback, values] of batch) guarded(callback, values);
        host.jobs();
      }
      host.jobs();
    } while (ticks.length > 0);
    if (rejected.size === 0) return;
    const [[promise, reason]] = rejected;
    rejected.delete(promise);
    failed(reason, promise);
  }
}

function nextTimer() {
  let next;
  for (const timer of timers.values()) {
    if (next === undefined || timer._due < next._due || (timer._due === next._due && timer._order < next._order)) next = timer;
  }
  return next;
}

// Lets the time pass until a timer is due.
function pass(timer) {
  if (timer._due > now) {
    host.sleep(timer._due - now);
    now = timer._due;
  }
}

// Returns whether something was done.
function turn(intervals) {
  if (tasks.length > 0) {
    const batch = tasks;
    tasks = [];
    for (const task of batch) { guarded(task, []); settle(); }
    return true;
  }
  // A timer of one millisecond, which is the shortest, is due at once.
  const last = order;
  let timer = nextTimer();
  let ran = false;
  while (timer !== undefined && timer._due <= now + 1 && timer._order <= last) {
    pass(timer);
    if (timer._repeat) timer._start();
    else timers.delete(timer._id);
    guarded(timer._callback, timer._values);
    settle();
    ran = true;
    timer = nextTimer();
  }
  if (immediates.length > 0) {
    const batch = immediates;
    immediates = [];
    for (const immediate of batch) { guarded(immediate._callback, immediate._values); settle(); }
    return true;
  }
  if (ran) return true;
  timer = nextTimer();
  if (timer === undefined || ![...timers.values()].some((timer) => timer._referenced && (intervals || !timer._repeat))) return false;
  pass(timer);
  return true;
}

// Runs the event loop until `done` returns true or nothing is left; `intervals`: those that repeat count.
function run({ done = () => false, intervals = true } = {}) {
  settle();
  while (!done() && turn(intervals)) settle();
}

// Forgets what waits: a cell that was interrupted leaves nothing behind.
function clear() {
  timers = new Map();
  immediates = [];
  ticks = [];
  tasks = [];
  rejected = new Map();
}

function onRejection(promise, reason, handled) {
  if (handled) rejected.delete(promise);
  else rejected.set(promise, reason);
}

const sleeping = (delay, value, { signal } = {}) => new Promise((resolve, reject) => {
  if (signal?.aborted) return reject(signal.reason);
  const timer = setTimeout(() => resolve(value), delay);
  signal?.addEventListener('abort', () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});
const promises = {
  setTimeout: sleeping,
  setImmediate: (value) => new Promise((resolve) => setImmediate(() => resolve(value))),
  setInterval: async function* (delay, value) { for (;;) yield await sleeping(delay, value); },
  scheduler: { wait: (delay, options) => sleeping(delay, undefined, options), yield: () => promises.setImmediate() },
};

for (const [callback, promised] of [[setTimeout, sleeping], [setImmediate, promises.setImmediate]]) {
  Object.defineProperty(callback, Symbol.for('nodejs.util.promisify.custom'), { value: promised });
}

module.exports = {
  setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate, promises,
};
const isTimer = (value) => value instanceof Timeout || value instanceof Immediate;
const internal = { isTimer, nextTick, queueMicrotask, later, settle, run, clear, onRejection, onFailure: (handler) => { failed = handler; } };
for (const [name, value] of Object.entries(internal)) Object.defineProperty(module.exports, name, { value, enumerable: false });
