// `process`, with the streams of the program.
'use strict';

const { argumentType, coded } = require('errors');
const EventEmitter = require('events');
const { Readable, Writable } = require('stream');
const { wrap } = require('buffer');
const fs = require('fs');
const timers = require('timers');

const HOME = '/home/user';
let folder = HOME;
let environment;
let streams = {};
let input = { bytes: undefined, at: 0, given: true };

// Returns up to `most` bytes of standard input.
function read(most = Infinity) {
  if (!input.given) throw coded(Error, 'ERR_STDIN_NOT_GIVEN', 'no standard input was given');
  input.bytes ??= host.read();
  const piece = input.bytes.slice(input.at, input.at + most);
  input.at += piece.length;
  return piece;
}
fs._stdin.read = read;

function* pieces() {
  for (let piece = read(65536); piece.length > 0; piece = read(65536)) yield wrap(piece);
}

// Returns the next line without its end; `null` at the end of standard input.
function readLine() {
  if (!input.given) read(0);
  input.bytes ??= host.read();
  if (input.at >= input.bytes.length) return null;
  const found = input.bytes.indexOf(10, input.at);
  const end = found < 0 ? input.bytes.length : found;
  const line = host.decode(input.bytes.subarray(input.at, end), false);
  input.at = end + 1;
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}

class ProcessExit extends Error {
  constructor(code) {
    super(`process.exit(${code})`);
    this.name = 'ProcessExit';
    this.exitCode = code;
  }
}

const process = new EventEmitter();
let exiting = false;
let keepsKernel = false;
let replaced = [];

function codeOf(given) {
  const code = Number(given ?? process.exitCode ?? 0);
  return Number.isInteger(code) ? code & 255 : 1;
}

// Emits the event once.
function emitExit(code) {
  if (exiting) return code;
  exiting = true;
  process.exitCode ??= code;
  process.emit('exit', code);
  return codeOf();
}

function output(fd) {
  const stream = new Writable({ write: (piece, encoding) => host.write(fd, typeof piece === 'string' && (encoding ?? 'utf8').startsWith('utf') ? piece : typeof piece === 'string' ? require('buffer').encode(piece, encoding) : piece) });
  return Object.assign(stream, { fd, isTTY: false, columns: 80, rows: 24 });
}

Object.assign(process, {
  title: 'node', version: 'v22.0.0', versions: { node: '22.0.0', quickjs: host.version() }, arch: 'wasm32', platform: 'linux', release: { name: 'node' },
  argv0: 'node', execArgv: [], execPath: '/usr/bin/node', exitCode: undefined, config: {}, features: {},
  argv: ['/usr/bin/node'],
  nextTick: timers.nextTick,
  cwd: () => folder,
  chdir(given) {
    const name = require('path').resolve(given);
    if (!fs._isFolder(name)) {
      if (!name.startsWith(HOME) && !name.startsWith('/tmp')) host.need('files', name);
      throw Object.assign(new Error(`ENOENT: no such file or directory, chdir '${folder}' -> '${given}'`), { errno: -2, code: 'ENOENT', syscall: 'chdir', path: folder, dest: given });
    }
    folder = name;
  },
  exit(code) {
    if (code !== undefined && code !== null) process.exitCode = codeOf(code);
    const last = emitExit(codeOf());
    if (keepsKernel) throw new ProcessExit(last);
    host.leave(last);
  },
  reallyExit: (code) => host.leave(codeOf(code)),
  abort: () => host.leave(134),
  kill(pid, signal = 'SIGTERM') {
    host.need('process', `kill ${pid}`);
    throw Object.assign(new Error('kill EPERM'), { errno: -1, code: 'EPERM', syscall: 'kill' });
  },
  emitWarning(warning) { host.write(2, `(node) ${typeof warning === 'string' ? `Warning: ${warning}` : warning}\n`); },
  hrtime: Object.assign((since) => {
    const now = host.monotonicNanoseconds();
    const passed = since === undefined ? now : now - (BigInt(since[0]) * 1000000000n + BigInt(since[1]));
    return [Number(passed / 1000000000n), Number(passed % 1000000000n)];
  }, { bigint: () => host.monotonicNanoseconds() }),
  uptime: () => host.monotonic() / 1000,
  memoryUsage: Object.assign(() => { host.note('identity'); const used = host.memory(); return { rss: used, heapTotal: used, heapUsed: used, external: 0, arrayBuffers: 0 }; }, { rss: () => { host.note('identity'); return host.memory(); } }),
  cpuUsage: () => ({ user: Math.round(host.monotonic() * 1000), system: 0 }),
  resourceUsage: () => ({ userCPUTime: Math.round(host.monotonic() * 1000), systemCPUTime: 0, maxRSS: 0 }),
  getuid: () => 1000, getgid: () => 1000, geteuid: () => 1000, getegid: () => 1000, umask: () => 0o022,
  binding() { throw coded(Error, 'ERR_INVALID_MODULE', 'No such binding'); },
  setUncaughtExceptionCaptureCallback() {},
  hasUncaughtExceptionCaptureCallback: () => false,
});

const identity = { pid: 1, ppid: 0 };
for (const [name, value] of Object.entries(identity)) {
  Object.defineProperty(process, name, { enumerable: true, configurable: true, get() { host.note('identity'); return value; } });
}
Object.defineProperty(process, 'env', {
  enumerable: true,
  configurable: true,
  get() {
    environment ??= new Proxy(JSON.parse(host.environment()), {
      set: (target, name, value) => { target[name] = String(value); return true; },
      defineProperty: (target, name, descriptor) => Reflect.defineProperty(target, name, { ...descriptor, value: String(descriptor.value), writable: true, enumerable: true, configurable: true }),
    });
    return environment;
  },
  set(value) { environment = value; },
});
const makers = {
  stdin: () => Object.assign(new Readable({ [Symbol.iterator]: pieces }), { fd: 0, isTTY: false, setRawMode: () => process.stdin }),
  stdout: () => output(1),
  stderr: () => output(2),
};
for (const [name, make] of Object.entries(makers)) {
  Object.defineProperty(process, name, { enumerable: true, configurable: true, get: () => (streams[name] ??= make()) });
}
Object.defineProperty(process, Symbol.toStringTag, { value: 'process', configurable: true });

const internal = {
  readLine, ProcessExit, emitExit, isKernel: () => keepsKernel,
  // Prepares for a program or a cell.
  begin({ argv, hasStdin, isCell, environment: own, folder: start }) {
    input = { bytes: undefined, at: 0, given: hasStdin };
    streams.stdin = undefined;
    exiting = false;
    process.exitCode = undefined;
    // A kernel starts there; its cells stay where they went.
    if (start !== undefined && !(isCell && keepsKernel)) folder = start;
    keepsKernel = isCell;
    process.argv = argv;
    replaced = Object.entries(own).map(([name, value]) => {
      const before = process.env[name];
      process.env[name] = value;
      return [name, before];
    });
  },
  // Restores the variables that this cell alone had.
  end() {
    for (const [name, before] of replaced) {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
    }
    replaced = [];
  },
};
module.exports = process;
for (const [name, value] of Object.entries(internal)) Object.defineProperty(module.exports, `_${name}`, { value, enumerable: false });
