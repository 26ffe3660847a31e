// Node's `assert`.
'use strict';

const { inspect } = require('inspect');

class AssertionError extends Error {
  constructor({ message, actual, expected, operator, stackStartFn }) {
    super(message);
    Object.assign(this, { generatedMessage: false, code: 'ERR_ASSERTION', actual, expected, operator });
    Object.defineProperty(this, 'name', { value: 'AssertionError', enumerable: false, writable: true, configurable: true });
    if (stackStartFn !== undefined) Error.captureStackTrace(this, stackStartFn);
    if (typeof this.stack === 'string') this.stack = this.stack.replace(/^(Assertion)?Error: /, 'AssertionError [ERR_ASSERTION]: ');
  }
}

// Returns whether two values have the same structure. `seen`: pairs that are being compared, for circular values.
function isEqual(a, b, strict, seen = new Map()) {
  if (strict ? Object.is(a, b) : a == b || (a !== a && b !== b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (strict && Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (Object.prototype.toString.call(a) !== Object.prototype.toString.call(b)) return false;
  if (host.isDate(a) && a.getTime() !== b.getTime()) return false;
  if (a instanceof RegExp && String(a) !== String(b)) return false;
  if (host.isError(a) && (a.message !== b.message || a.name !== b.name)) return false;
  for (const type of [Number, String, Boolean]) if (a instanceof type && !(b instanceof type && Object.is(a.valueOf(), b.valueOf()))) return false;
  if (seen.get(a) === b) return true;
  seen.set(a, b);
  if (host.isSet(a)) {
    if (!host.isSet(b) || a.size !== b.size) return false;
    const left = [...b].filter((value) => !a.has(value));
    for (const value of a) {
      if (b.has(value)) continue;
      const at = left.findIndex((other) => isEqual(value, other, strict, seen));
      if (at < 0) return false;
      left.splice(at, 1);
    }
  } else if (host.isMap(a)) {
    if (!host.isMap(b) || a.size !== b.size) return false;
    const left = [...b].filter(([key]) => !a.has(key));
    for (const [key, value] of a) {
      if (b.has(key)) { if (!isEqual(value, b.get(key), strict, seen)) return false; continue; }
      const at = left.findIndex(([other, held]) => isEqual(key, other, strict, seen) && isEqual(value, held, strict, seen));
      if (at < 0) return false;
      left.splice(at, 1);
    }
  }
  const keysOf = (value) => [...Object.keys(value), ...(strict ? Object.getOwnPropertySymbols(value).filter((key) => Object.prototype.propertyIsEnumerable.call(value, key)) : [])];
  const keys = keysOf(a);
  return keys.length === keysOf(b).length && keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key], b[key], strict, seen));
}

const shown = (value) => inspect(value, { depth: 1000, maxArrayLength: Infinity, sorted: true });
const titles = {
  strictEqual: 'Expected values to be strictly equal:', deepStrictEqual: 'Expected values to be strictly deep-equal:', deepEqual: 'Expected values to be loosely deep-equal:',
  notStrictEqual: 'Expected "actual" to be strictly unequal to:', notDeepStrictEqual: 'Expected "actual" not to be strictly deep-equal to:', notDeepEqual: 'Expected "actual" not to be loosely deep-equal to:',
};

function message(operator, actual, expected) {
  const [a, b] = [shown(actual), shown(expected)];
  if (operator === '==') return `${a} == ${b}`;
  if (operator === '!=') return `${a} != ${b}`;
  if (operator.startsWith('not')) return `${titles[operator]} ${b}`;
  if (operator === 'deepEqual') return `${titles[operator]}\n\n${a}\n\nshould loosely deep-equal\n\n${b}`;
  if (!a.includes('\n') && !b.includes('\n')) {
    if (typeof actual !== 'object' && typeof expected !== 'object' && a.length + b.length < 24) return `${titles[operator]}\n\n${a} !== ${b}\n`;
    return `${titles[operator]}\n+ actual - expected\n\n+ ${a}\n- ${b}`;
  }
  const [left, right] = [a.split('\n'), b.split('\n')];
  const lines = [];
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    if (i < left.length && left[i] === right[j]) { lines.push(`  ${left[i++]}`); j++; continue; }
    const next = right.indexOf(left[i], j);
    if (i < left.length && next < 0) lines.push(`+ ${left[i++]}`);
    else lines.push(`- ${right[j++]}`);
  }
  return `${titles[operator]}\n+ actual - expected\n\n${lines.join('\n')}`;
}

function fail(given, operator, actual, expected, start, text) {
  if (host.isError(given)) throw given;
  const error = new AssertionError({ message: given ?? text ?? message(operator, actual, expected), actual, expected, operator, stackStartFn: start });
  error.generatedMessage = given === undefined;
  throw error;
}

function assert(value, text) {
  if (!value) fail(text, '==', value, true, assert, 'The expression evaluated to a falsy value');
}

// Returns whether an error is as expected: a class, a pattern, an object of fields or a function.
function fits(error, expected, text, start) {
  if (expected === undefined) return;
  if (expected instanceof RegExp) {
    if (!expected.test(String(error))) fail(text, 'throws', error, expected, start, `The input did not match the regular expression ${expected}. Input:\n\n${inspect(String(error))}\n`);
  } else if (typeof expected === 'function') {
    if (expected.prototype !== undefined && error instanceof expected) return;
    if (Object.prototype.isPrototypeOf.call(Error, expected) || expected === Error) throw error;
    if (expected.call({}, error) !== true) fail(text, 'throws', error, expected, start, 'The function did not return "true"');
  } else {
    for (const key of [...Object.keys(expected), ...(host.isError(expected) ? ['name', 'message'] : [])]) {
      const same = expected[key] instanceof RegExp && typeof error[key] === 'string' ? expected[key].test(error[key]) : isEqual(error[key], expected[key], true);
      if (!same) fail(text, 'throws', error, expected, start, `${titles.deepStrictEqual}\n+ actual - expected\n\n+ ${shown({ [key]: error[key] })}\n- ${shown({ [key]: expected[key] })}`);
    }
  }
}

Object.assign(assert, {
  AssertionError,
  ok(value, text) { if (!value) fail(text, '==', value, true, assert.ok, 'The expression evaluated to a falsy value'); },
  fail(text = 'Failed') { fail(text, 'fail', undefined, undefined, assert.fail); },
  equal(a, b, text) { if (!(a == b || (a !== a && b !== b))) fail(text, '==', a, b, assert.equal); },
  notEqual(a, b, text) { if (a == b) fail(text, '!=', a, b, assert.notEqual); },
  strictEqual(a, b, text) { if (!Object.is(a, b)) fail(text, 'strictEqual', a, b, assert.strictEqual); },
  notStrictEqual(a, b, text) { if (Object.is(a, b)) fail(text, 'notStrictEqual', a, b, assert.notStrictEqual); },
  deepEqual(a, b, text) { if (!isEqual(a, b, false)) fail(text, 'deepEqual', a, b, assert.deepEqual); },
  notDeepEqual(a, b, text) { if (isEqual(a, b, false)) fail(text, 'notDeepEqual', a, b, assert.notDeepEqual); },
  deepStrictEqual(a, b, text) { if (!isEqual(a, b, true)) fail(text, 'deepStrictEqual', a, b, assert.deepStrictEqual); },
  notDeepStrictEqual(a, b, text) { if (isEqual(a, b, true)) fail(text, 'notDeepStrictEqual', a, b, assert.notDeepStrictEqual); },
  match(value, pattern, text) { if (!pattern.test(value)) fail(text, 'match', value, pattern, assert.match, `The input did not match the regular expression ${pattern}. Input:\n\n${inspect(value)}\n`); },
  doesNotMatch(value, pattern, text) { if (pattern.test(value)) fail(text, 'doesNotMatch', value, pattern, assert.doesNotMatch, `The input was expected to not match the regular expression ${pattern}. Input:\n\n${inspect(value)}\n`); },
  throws(run, expected, text) {
    if (typeof expected === 'string') [text, expected] = [expected, undefined];
    let error;
    try { run(); } catch (caught) { error = { caught }; }
    if (error === undefined) fail(text, 'throws', undefined, expected, assert.throws, `Missing expected exception${expected?.name ? ` (${expected.name})` : ''}.`);
    fits(error.caught, expected, text, assert.throws);
  },
  doesNotThrow(run, text) { try { run(); } catch (error) { fail(host.isError(text) ? text : undefined, 'doesNotThrow', error, undefined, assert.doesNotThrow, `Got unwanted exception.\nActual message: "${error?.message}"`); } },
  async rejects(run, expected, text) {
    let error;
    try { await (typeof run === 'function' ? run() : run); } catch (caught) { error = { caught }; }
    if (error === undefined) fail(text, 'rejects', undefined, expected, assert.rejects, 'Missing expected rejection.');
    fits(error.caught, expected, text, assert.rejects);
  },
  async doesNotReject(run, text) { try { await (typeof run === 'function' ? run() : run); } catch (error) { fail(text, 'doesNotReject', error, undefined, assert.doesNotReject, `Got unwanted rejection.\nActual message: "${error?.message}"`); } },
  ifError(value) { if (value !== null && value !== undefined) throw value; },
});
assert.strict = Object.assign((...values) => assert(...values), assert, { equal: assert.strictEqual, notEqual: assert.notStrictEqual, deepEqual: assert.deepStrictEqual, notDeepEqual: assert.notDeepStrictEqual });
assert.strict.strict = assert.strict;
Object.defineProperty(assert, '_isEqual', { value: isEqual });

module.exports = assert;
