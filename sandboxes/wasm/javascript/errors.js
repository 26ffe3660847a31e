// Errors with Node's codes, and the text that Node prints for an error that nobody caught.
'use strict';

const { inspect } = require('inspect');

/// Frames of these modules are not the program's.
const INTERNAL = 'node:internal/';

function coded(Base, code, message, fields) {
  const error = new Base(message);
  Object.defineProperty(error, 'code', { value: code, enumerable: true, writable: true, configurable: true });
  if (fields !== undefined) Object.assign(error, fields);
  // Node's text has the code beside the name.
  if (typeof error.stack === 'string' && code.startsWith('ERR_')) error.stack = error.stack.replace(`${error.name}: `, `${error.name} [${code}]: `);
  return error;
}

const argumentType = (name, expected, value) =>
  coded(TypeError, 'ERR_INVALID_ARG_TYPE', `The "${name}" argument must be ${expected}. Received ${received(value)}`);

function received(value) {
  if (value === undefined || value === null) return String(value);
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value === 'object') return value.constructor?.name ? `an instance of ${value.constructor.name}` : inspect(value, { depth: -1 });
  const text = inspect(value);
  return `type ${typeof value} (${text.length > 28 ? `${text.slice(0, 25)}...` : text})`;
}

// The name of the function that a file's code is wrapped in.
const WRAPPER = '__switchtower_module__';
// What was inserted into the lines of a file: at which column, and how much.
const inserted = new Map();

function columnOf(file, line, column) {
  for (const edit of inserted.get(file) ?? []) if (edit.line === line && column > edit.column) column = Math.max(edit.column + 1, column - edit.width);
  return column;
}

// The text of a stack as Node has it: the error first, then the program's own frames.
function prepareStackTrace(error, frames) {
  let text;
  try { text = Error.prototype.toString.call(error); } catch { text = 'Error'; }
  // As in Node, the constructors of the error's own classes are no frames.
  const makers = new Set();
  for (let at = error; at !== null && typeof at === 'object'; at = Object.getPrototypeOf(at)) {
    const maker = Object.getOwnPropertyDescriptor(at, 'constructor')?.value;
    if (typeof maker === 'function') makers.add(maker.name);
  }
  let isMaking = true;
  for (const frame of frames) {
    isMaking &&= makers.has(frame.getFunctionName());
    if (isMaking) continue;
    const file = frame.getFileName();
    if (frame.isNative() || typeof file !== 'string' || file === '' || file.startsWith(INTERNAL)) continue;
    const line = frame.getLineNumber();
    const column = columnOf(file, line, frame.getColumnNumber());
    // A file that was translated from TypeScript is shown where its source is.
    const place = `${file}:${host.position(file, line, column) ?? `${line}:${column}`}`;
    let name = frame.getFunctionName();
    if (name === WRAPPER) name = 'Object.<anonymous>';
    else if (name === '<eval>' || name === '<anonymous>' || name === '') name = null;
    text += name === null ? `\n    at ${place}` : `\n    at ${name} (${place})`;
  }
  return text;
}

// Returns the innermost place in a file of the program.
function placeOf(stack) {
  for (const line of String(stack).split('\n')) {
    const found = /^\s+at (?:.* \()?(.+?):(\d+)(?::(\d+))?\)?$/.exec(line);
    if (found !== null && !found[1].startsWith(INTERNAL)) {
      return { file: found[1].replace(/^async /, ''), line: Number(found[2]), column: Number(found[3] ?? 1) };
    }
  }
  return undefined;
}

// Returns name, value, traceback and line of an error that nobody caught.
function describe(error, sources, main) {
  const isError = typeof error === 'object' && error !== null && host.isError(error);
  let name = 'Error', value = '', stack = '';
  try {
    if (isError) {
      name = typeof error.name === 'string' && error.name !== '' ? error.name : 'Error';
      if (name === 'Error' && typeof error.constructor?.name === 'string' && error.constructor.name !== '') name = error.constructor.name;
      value = String(error.message);
      stack = String(error.stack ?? '');
    } else value = typeof error === 'string' ? error : inspect(error);
  } catch (other) { value = 'the error cannot be shown'; }
  let shown;
  try {
    shown = isError ? inspect(error) : typeof error === 'string' ? error : inspect(error);
    if (isError && shown.startsWith('[') && shown.endsWith(']') && !stack.includes('\n')) shown = shown.slice(1, -1);
  } catch { shown = `${name}: ${value}`; }
  if (!isError) name = 'Uncaught';
  const place = isError ? placeOf(stack) : undefined;
  const text = place === undefined ? undefined : sources(place.file);
  let head = '';
  if (text !== undefined) {
    const source = text.split('\n', place.line)[place.line - 1] ?? '';
    const indent = source.slice(0, Math.max(0, place.column - 1)).replace(/[^\t]/g, ' ');
    if (source.length <= 512) head = `${place.file}:${place.line}\n${source}\n${indent}^\n\n`;
  }
  // The line of the program itself, though the error was thrown in another file.
  let line = 0;
  for (const frame of stack.split('\n')) {
    const found = /^\s+at (?:.* \()?(.+?):(\d+)(?::\d+)?\)?$/.exec(frame);
    if (found !== null && found[1] === main) { line = Number(found[2]); break; }
  }
  return { name, value, traceback: `${head}${shown}`, line };
}

module.exports = { coded, argumentType, received, prepareStackTrace, describe, inserted, WRAPPER };
