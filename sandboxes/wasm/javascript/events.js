// Node's `events`.
'use strict';

const { coded, argumentType } = require('errors');

// The listeners of each emitter, by name. Emitters are also made by `EventEmitter.call(object)`.
const stores = new WeakMap();

function store(emitter) {
  let all = stores.get(emitter);
  if (all === undefined) stores.set(emitter, all = new Map());
  return all;
}

function add(emitter, name, listener, first, once) {
  if (typeof listener !== 'function') throw argumentType('listener', 'of type function', listener);
  const all = store(emitter);
  if (all.has('newListener') && name !== 'newListener') emitter.emit('newListener', name, listener);
  const list = all.get(name) ?? [];
  const entry = { listener, once };
  all.set(name, first ? [entry, ...list] : [...list, entry]);
  return emitter;
}

function EventEmitter() {}

const methods = {
  on(name, listener) { return add(this, name, listener, false, false); },
  addListener(name, listener) { return this.on(name, listener); },
  once(name, listener) { return add(this, name, listener, false, true); },
  prependListener(name, listener) { return add(this, name, listener, true, false); },
  prependOnceListener(name, listener) { return add(this, name, listener, true, true); },
  off(name, listener) {
    const all = store(this);
    const list = all.get(name) ?? [];
    const at = list.findLastIndex((entry) => entry.listener === listener);
    if (at >= 0) {
      const left = list.filter((_, index) => index !== at);
      if (left.length === 0) all.delete(name);
      else all.set(name, left);
      if (all.has('removeListener')) this.emit('removeListener', name, listener);
    }
    return this;
  },
  removeListener(name, listener) { return this.off(name, listener); },
  removeAllListeners(name) {
    if (name === undefined) store(this).clear();
    else store(this).delete(name);
    return this;
  },
  emit(name, ...values) {
    const list = store(this).get(name) ?? [];
    if (list.length === 0) {
      if (name !== 'error') return false;
      if (host.isError(values[0])) throw values[0];
      throw coded(Error, 'ERR_UNHANDLED_ERROR', `Unhandled error. (${String(values[0])})`, { context: values[0] });
    }
    for (const entry of list) {
      if (entry.once) this.off(name, entry.listener);
      Reflect.apply(entry.listener, this, values);
    }
    return true;
  },
  listenerCount(name) { return (store(this).get(name) ?? []).length; },
  listeners(name) { return (store(this).get(name) ?? []).map((entry) => entry.listener); },
  rawListeners(name) { return this.listeners(name); },
  eventNames() { return [...store(this).keys()]; },
  setMaxListeners() { return this; },
  getMaxListeners() { return EventEmitter.defaultMaxListeners; },
};
for (const [name, value] of Object.entries(methods)) {
  Object.defineProperty(EventEmitter.prototype, name, { value, writable: true, configurable: true, enumerable: false });
}

EventEmitter.defaultMaxListeners = 10;
EventEmitter.EventEmitter = EventEmitter;
EventEmitter.once = (emitter, name) => new Promise((resolve, reject) => {
  const failed = (error) => { emitter.off?.(name, arrived); reject(error); };
  const arrived = (...values) => { emitter.off?.('error', failed); resolve(values); };
  if (typeof emitter.addEventListener === 'function') return emitter.addEventListener(name, (event) => resolve([event]), { once: true });
  emitter.once(name, arrived);
  if (name !== 'error') emitter.once('error', failed);
});
EventEmitter.on = async function* (emitter, name) {
  const waiting = [];
  let wake;
  emitter.on(name, (...values) => { waiting.push(values); wake?.(); });
  for (;;) {
    while (waiting.length > 0) yield waiting.shift();
    await new Promise((resolve) => { wake = resolve; });
  }
};
EventEmitter.listenerCount = (emitter, name) => emitter.listenerCount(name);

class Event {
  constructor(type, options = {}) {
    this.type = String(type);
    this.cancelable = Boolean(options.cancelable);
    this.defaultPrevented = false;
    this.target = null;
  }
  preventDefault() { if (this.cancelable) this.defaultPrevented = true; }
  stopPropagation() {}
  stopImmediatePropagation() { this._stopped = true; }
}

class EventTarget {
  #listeners = new Map();
  addEventListener(type, listener, options) {
    if (listener === null || listener === undefined) return;
    const list = this.#listeners.get(type) ?? [];
    if (!list.some((entry) => entry.listener === listener)) list.push({ listener, once: Boolean(options?.once) });
    this.#listeners.set(type, list);
  }
  removeEventListener(type, listener) {
    this.#listeners.set(type, (this.#listeners.get(type) ?? []).filter((entry) => entry.listener !== listener));
  }
  dispatchEvent(event) {
    event.target = this;
    for (const entry of [...(this.#listeners.get(event.type) ?? [])]) {
      if (entry.once) this.removeEventListener(event.type, entry.listener);
      if (typeof entry.listener === 'function') entry.listener.call(this, event);
      else entry.listener.handleEvent(event);
      if (event._stopped) break;
    }
    const handler = this[`on${event.type}`];
    if (typeof handler === 'function') handler.call(this, event);
    return !event.defaultPrevented;
  }
}

class AbortSignal extends EventTarget {
  aborted = false;
  reason = undefined;
  throwIfAborted() { if (this.aborted) throw this.reason; }
  static abort(reason = new DOMException('This operation was aborted', 'AbortError')) {
    const controller = new AbortController();
    controller.abort(reason);
    return controller.signal;
  }
  static timeout(time) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')), time).unref();
    return controller.signal;
  }
}

class AbortController {
  signal = new AbortSignal();
  abort(reason = new DOMException('This operation was aborted', 'AbortError')) {
    if (this.signal.aborted) return;
    this.signal.aborted = true;
    this.signal.reason = reason;
    this.signal.dispatchEvent(new Event('abort'));
  }
}

module.exports = EventEmitter;
Object.assign(EventEmitter, { Event, EventTarget, AbortSignal, AbortController });
for (const name of ['Event', 'EventTarget', 'AbortSignal', 'AbortController']) {
  Object.defineProperty(EventEmitter, name, { enumerable: false });
}
