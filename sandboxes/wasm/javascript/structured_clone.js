// `structuredClone`.
'use strict';

const refuse = (value) => new DOMException(`${typeof value === 'symbol' ? String(value) : typeof value === 'function' ? String(value) : '#<Object>'} could not be cloned.`, 'DataCloneError');

function clone(value, seen) {
  if (typeof value === 'function' || typeof value === 'symbol') throw refuse(value);
  if (typeof value !== 'object' || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  const keep = (copy) => { seen.set(value, copy); return copy; };
  if (Array.isArray(value)) {
    const copy = keep(new Array(value.length));
    for (const key of Object.keys(value)) copy[key] = clone(value[key], seen);
    return copy;
  }
  if (host.isDate(value)) return keep(new Date(value.getTime()));
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  if (host.isMap(value)) {
    const copy = keep(new Map());
    for (const [key, held] of [...value]) copy.set(clone(key, seen), clone(held, seen));
    return copy;
  }
  if (host.isSet(value)) {
    const copy = keep(new Set());
    for (const held of [...value]) copy.add(clone(held, seen));
    return copy;
  }
  if (value instanceof ArrayBuffer) return keep(value.slice(0));
  if (ArrayBuffer.isView(value)) {
    const buffer = clone(value.buffer, seen);
    const type = value instanceof DataView ? DataView : globalThis[value[Symbol.toStringTag]];
    return keep(new type(buffer, value.byteOffset, value.length ?? value.byteLength));
  }
  if (host.isError(value)) {
    const type = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }[value.name] ?? Error;
    const copy = keep(new type(value.message));
    copy.stack = value.stack;
    if (Object.hasOwn(value, 'cause')) Object.defineProperty(copy, 'cause', { value: clone(value.cause, seen), writable: true, configurable: true });
    return copy;
  }
  if (host.promiseState(value) >= 0 || value instanceof WeakMap || value instanceof WeakSet) throw refuse(value);
  for (const type of [Number, String, Boolean, BigInt]) if (value instanceof type) return keep(Object(value.valueOf()));
  const copy = keep({});
  for (const key of Object.keys(value)) copy[key] = clone(value[key], seen);
  return copy;
}

module.exports = function structuredClone(value) {
  return clone(value, new Map());
};
