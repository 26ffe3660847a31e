// Node's `util`.
'use strict';

const { inspect, format, formatWithOptions } = require('inspect');
const { argumentType } = require('errors');
const { TextEncoder, TextDecoder } = require('encoding');

const kind = (value) => Object.prototype.toString.call(value).slice(8, -1);
const types = {
  isPromise: (value) => host.promiseState(value) >= 0, isRegExp: (value) => value instanceof RegExp, isDate: (value) => host.isDate(value),
  isNativeError: (value) => host.isError(value), isMap: (value) => host.isMap(value), isSet: (value) => host.isSet(value),
  isProxy: (value) => host.proxyTarget(value) !== undefined, isTypedArray: (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
  isUint8Array: (value) => value instanceof Uint8Array, isArrayBuffer: (value) => value instanceof ArrayBuffer, isAnyArrayBuffer: (value) => value instanceof ArrayBuffer,
  isArrayBufferView: (value) => ArrayBuffer.isView(value), isDataView: (value) => value instanceof DataView, isWeakMap: (value) => value instanceof WeakMap,
  isWeakSet: (value) => value instanceof WeakSet, isGeneratorObject: (value) => kind(value) === 'Generator', isGeneratorFunction: (value) => kind(value).endsWith('GeneratorFunction'),
  isAsyncFunction: (value) => kind(value) === 'AsyncFunction' || kind(value) === 'AsyncGeneratorFunction', isModuleNamespaceObject: (value) => kind(value) === 'Module',
  isBoxedPrimitive: (value) => [Number, String, Boolean, Symbol, BigInt].some((type) => typeof value === 'object' && value instanceof type),
};

const promised = Symbol.for('nodejs.util.promisify.custom');
function promisify(original) {
  if (typeof original !== 'function') throw argumentType('original', 'of type function', original);
  if (typeof original[promised] === 'function') return original[promised];
  return Object.defineProperty(function (...values) {
    return new Promise((resolve, reject) => original.call(this, ...values, (error, ...results) => (error ? reject(error) : resolve(results[0]))));
  }, 'name', { value: original.name });
}
promisify.custom = promised;

function callbackify(original) {
  return function (...values) {
    const done = values.pop();
    Reflect.apply(original, this, values).then((value) => process.nextTick(done, null, value), (error) => process.nextTick(done, error));
  };
}

function deprecate(original, message) {
  let warned = false;
  return function (...values) {
    if (!warned) { warned = true; process.emitWarning(`DeprecationWarning: ${message}`); }
    return new.target ? Reflect.construct(original, values, new.target) : Reflect.apply(original, this, values);
  };
}

function inherits(constructor, parent) {
  Object.defineProperty(constructor, 'super_', { value: parent, writable: true, configurable: true });
  Object.setPrototypeOf(constructor.prototype, parent.prototype);
}

const styles = { bold: [1, 22], dim: [2, 22], italic: [3, 23], underline: [4, 24], red: [31, 39], green: [32, 39], yellow: [33, 39], blue: [34, 39], magenta: [35, 39], cyan: [36, 39], white: [37, 39], gray: [90, 39], grey: [90, 39], black: [30, 39] };

function parseArgs({ args = process.argv.slice(2), options = {}, allowPositionals = false, strict = true } = {}) {
  const values = Object.create(null);
  const positionals = [];
  const { coded } = require('errors');
  const set = (name, value) => { if (options[name]?.multiple) (values[name] ??= []).push(value); else values[name] = value; };
  for (let at = 0; at < args.length; at++) {
    const arg = args[at];
    if (arg === '--') { positionals.push(...args.slice(at + 1)); break; }
    let [, long, inline] = /^--([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (long === undefined && /^-[^-]/.test(arg)) { long = Object.keys(options).find((name) => options[name].short === arg[1]) ?? arg[1]; inline = arg.slice(2) || undefined; }
    if (long === undefined) { if (!allowPositionals && strict) throw coded(TypeError, 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL', `Unexpected argument '${arg}'. This command does not take positional arguments`); positionals.push(arg); continue; }
    if (options[long] === undefined && strict) throw coded(TypeError, 'ERR_PARSE_ARGS_UNKNOWN_OPTION', `Unknown option '${arg}'`);
    if (options[long]?.type === 'string') set(long, inline ?? args[++at]);
    else set(long, inline ?? true);
  }
  for (const [name, { default: value }] of Object.entries(options)) if (value !== undefined && !(name in values)) values[name] = value;
  return { values, positionals };
}

module.exports = {
  inspect, format, formatWithOptions, promisify, callbackify, deprecate, inherits, types, TextEncoder, TextDecoder, parseArgs,
  debuglog: () => Object.assign(() => {}, { enabled: false }), debug: () => () => {},
  isDeepStrictEqual: (a, b) => require('assert')._isEqual(a, b, true),
  isArray: Array.isArray, isString: (value) => typeof value === 'string', isFunction: (value) => typeof value === 'function',
  stripVTControlCharacters: (text) => String(text).replace(/\u001b\[[0-9;]*[A-Za-z]/g, ''),
  styleText: (names, text) => [names].flat().reduceRight((styled, name) => `\u001b[${styles[name][0]}m${styled}\u001b[${styles[name][1]}m`, text),
  toUSVString: (text) => String(text).toWellFormed(),
};
