// `console`.
'use strict';

const { formatWithOptions, inspect } = require('inspect');

const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
const widthOf = (text) => [...text].reduce((sum, char) => sum + (WIDE.test(char) ? 2 : 1), 0);

function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => widthOf(row[column]))) + 2);
  const line = (left, middle, right) => left + widths.map((width) => '─'.repeat(width)).join(middle) + right;
  const text = (row) => `│${row.map((cell, column) => ` ${cell}${' '.repeat(widths[column] - widthOf(cell) - 1)}`).join('│')}│`;
  return [line('┌', '┬', '┐'), text(rows[0]), line('├', '┼', '┤'), ...rows.slice(1).map(text), line('└', '┴', '┘')].join('\n');
}

class Console {
  #indent = '';
  #counts = new Map();
  #timers = new Map();
  #streams;
  constructor(stdout, stderr = stdout) {
    const streams = stdout?.stdout !== undefined ? [stdout.stdout, stdout.stderr ?? stdout.stdout] : [stdout, stderr];
    this.#streams = streams;
    // The methods can be taken out of the object.
    for (const name of Object.getOwnPropertyNames(Console.prototype)) {
      if (name !== 'constructor') Object.defineProperty(this, name, { value: this[name].bind(this), enumerable: true, writable: true, configurable: true });
    }
  }
  #print(stream, values) {
    let text = formatWithOptions(undefined, ...values);
    if (this.#indent !== '') text = this.#indent + text.replaceAll('\n', `\n${this.#indent}`);
    const to = this.#streams[stream];
    if (to === undefined) host.write(stream + 1, `${text}\n`);
    else to.write(`${text}\n`);
  }
  log(...values) { this.#print(0, values); }
  info(...values) { this.#print(0, values); }
  debug(...values) { this.#print(0, values); }
  error(...values) { this.#print(1, values); }
  warn(...values) { this.#print(1, values); }
  trace(...values) {
    const trace = { name: 'Trace', message: formatWithOptions(undefined, ...values) };
    Error.captureStackTrace(trace, this.trace);
    const frames = String(trace.stack).split('\n').filter((line) => /^\s+at /.test(line)).join('\n');
    this.#print(1, [`Trace${trace.message === '' ? '' : `: ${trace.message}`}${frames === '' ? '' : `\n${frames}`}`]);
  }
  dir(value, options) { this.#print(0, [inspect(value, { customInspect: false, ...options })]); }
  dirxml(...values) { this.#print(0, values); }
  assert(holds, ...values) {
    if (holds) return;
    if (typeof values[0] === 'string') values[0] = `Assertion failed: ${values[0]}`;
    else values.unshift('Assertion failed');
    this.#print(1, values);
  }
  group(...values) {
    if (values.length > 0) this.#print(0, values);
    this.#indent += '  ';
  }
  groupCollapsed(...values) { this.group(...values); }
  groupEnd() { this.#indent = this.#indent.slice(2); }
  count(label = 'default') {
    const count = (this.#counts.get(`${label}`) ?? 0) + 1;
    this.#counts.set(`${label}`, count);
    this.#print(0, [`${label}: ${count}`]);
  }
  countReset(label = 'default') { this.#counts.delete(`${label}`); }
  time(label = 'default') { this.#timers.set(`${label}`, host.monotonic()); }
  #passed(label, values) {
    const began = this.#timers.get(`${label}`);
    if (began === undefined) return this.#print(1, [`Warning: No such label '${label}' for console.timeEnd()`]);
    const passed = host.monotonic() - began;
    const text = passed >= 1000 ? `${(passed / 1000).toFixed(3)}s` : `${Number(passed.toFixed(3))}ms`;
    return this.#print(0, [`${label}: ${text}`, ...values]);
  }
  timeEnd(label = 'default') { this.#passed(label, []); this.#timers.delete(`${label}`); }
  timeLog(label = 'default', ...values) { this.#passed(label, values); }
  table(data, columns) {
    if (typeof data !== 'object' || data === null) return this.#print(0, [data]);
    const shown = (value) => inspect(value, { depth: typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 2 ? -1 : 0, maxArrayLength: 3, breakLength: Infinity });
    if (host.isMap(data)) {
      const rows = [...data].map(([key, value], at) => [String(at), shown(key), shown(value)]);
      return this.#print(0, [table([['(iteration index)', 'Key', 'Values'], ...rows])]);
    }
    const isSet = host.isSet(data);
    const entries = isSet ? [...data].map((value, at) => [String(at), value]) : Object.keys(data).map((key) => [key, data[key]]);
    const names = [];
    let hasPlain = false;
    for (const [, row] of entries) {
      if ((typeof row !== 'object' && typeof row !== 'function') || row === null) hasPlain = true;
      else if (columns === undefined) for (const name of Object.keys(row)) if (!names.includes(name)) names.push(name);
    }
    if (columns !== undefined) names.push(...columns);
    const rows = entries.map(([index, row]) => {
      const isObject = typeof row === 'object' && row !== null;
      const cells = names.map((name) => (isObject && Object.hasOwn(row, name) ? shown(row[name]) : ''));
      return [index, ...cells, ...(hasPlain ? [isObject ? '' : shown(row)] : [])];
    });
    return this.#print(0, [table([[isSet ? '(iteration index)' : '(index)', ...names.map(String), ...(hasPlain ? ['Values'] : [])], ...rows])]);
  }
}

const console = new Console();
console.Console = Console;
Object.defineProperty(console, Symbol.toStringTag, { value: 'console', configurable: true });

module.exports = console;
