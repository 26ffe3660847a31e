// Node's `fs` on the scratch files: `/home/user` and `/tmp`, in this instance's own memory.
'use strict';

const { argumentType, coded } = require('errors');
const { Buffer, encode, decode, wrap } = require('buffer');
const path = require('path');

const OWN = ['/home/user', '/tmp'];
const codes = { ENOENT: [2, 'no such file or directory'], EEXIST: [17, 'file already exists'], EISDIR: [21, 'illegal operation on a directory'], ENOTDIR: [20, 'not a directory'], ENOTEMPTY: [39, 'directory not empty'], EACCES: [13, 'permission denied'], EBADF: [9, 'bad file descriptor'], EINVAL: [22, 'invalid argument'], EPERM: [1, 'operation not permitted'] };

// A file has its bytes in a buffer that may be larger.
const tree = new Map();
// What the cell changed, and whether each path existed before it.
let touched = new Map();
let inode = 1;

function folder() { return { folder: true, mode: 0o755, inode: inode++, times: null }; }
function newFile() { return { folder: false, data: new Uint8Array(0), size: 0, mode: 0o644, inode: inode++, times: null }; }
for (const name of ['/', '/home', ...OWN]) tree.set(name, folder());

const isOwn = (name) => OWN.some((own) => name === own || name.startsWith(`${own}/`));

function failure(code, call, name, to) {
  const [errno, text] = codes[code];
  const error = new Error(`${code}: ${text}, ${call}${name === undefined ? '' : ` '${name}'`}${to === undefined ? '' : ` -> '${to}'`}`);
  const fields = { errno: -errno, code, syscall: call };
  if (name !== undefined) fields.path = name;
  if (to !== undefined) fields.dest = to;
  return Object.assign(error, fields);
}

function nameOf(given, argument = 'path') {
  if (given instanceof Uint8Array) given = decode(given);
  else if (typeof given === 'object' && given?.protocol === 'file:') given = require('url').fileURLToPath(given);
  if (typeof given !== 'string') throw argumentType(argument, 'of type string or an instance of Buffer or URL', given);
  if (given.includes('\0')) throw coded(TypeError, 'ERR_INVALID_ARG_VALUE', `The argument '${argument}' must be a string, Uint8Array, or URL without null bytes`);
  return path.resolve(given);
}

// Returns what is at a path; the need for a file outside is reported first, so that the program can move to where it is.
function find(name, call, given) {
  const node = tree.get(name);
  if (node !== undefined) return node;
  if (!isOwn(name)) host.need('files', name);
  for (let up = path.dirname(name); up !== '/'; up = path.dirname(up)) {
    if (tree.get(up)?.folder === false) throw failure('ENOTDIR', call, given);
  }
  throw failure('ENOENT', call, given);
}

function touch(name) {
  if (!touched.has(name)) touched.set(name, tree.get(name));
}

// Checks that a path can be written.
function writable(name, call, given) {
  if (!isOwn(name)) {
    host.need('files', name);
    throw failure('EACCES', call, given);
  }
  const parent = path.dirname(name);
  if (!OWN.includes(name)) {
    const above = find(parent, call, given);
    if (!above.folder) throw failure('ENOTDIR', call, given);
  }
}

function bytesOf(node) { return node.data.subarray(0, node.size); }

function resize(node, size) {
  if (size > node.data.length) {
    const larger = new Uint8Array(Math.max(size, Math.min(node.data.length * 2, node.data.length + (1 << 24))));
    larger.set(bytesOf(node));
    node.data = larger;
  }
  if (size < node.size) node.data.fill(0, size, node.size);
  node.size = size;
}

function contentOf(data, encoding) {
  if (typeof data === 'string') return encode(data, encoding ?? 'utf8');
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw argumentType('data', 'of type string or an instance of Buffer, TypedArray, or DataView', data);
}

const optionsOf = (options) => (typeof options === 'string' ? { encoding: options } : options ?? {});
const stdin = { read: () => new Uint8Array(0) };

// Open files by their number.
const open = new Map();
function opened(fd, call) {
  const file = open.get(fd);
  if (file === undefined) throw failure('EBADF', call);
  return file;
}

const flags = {
  r: { read: true }, rs: { read: true }, 'r+': { read: true, write: true }, 'rs+': { read: true, write: true }, w: { write: true, create: true, empty: true },
  'w+': { read: true, write: true, create: true, empty: true }, a: { write: true, create: true, append: true }, 'a+': { read: true, write: true, create: true, append: true },
};
function flagsOf(flag) {
  if (typeof flag === 'number') {
    return { read: (flag & 3) !== 1, write: (flag & 3) !== 0, create: Boolean(flag & 64), exclusive: Boolean(flag & 128), empty: Boolean(flag & 512), append: Boolean(flag & 1024) };
  }
  const exclusive = flag.includes('x');
  const found = flags[flag.replace('x', '').replace('s', '')];
  if (found === undefined) throw coded(TypeError, 'ERR_INVALID_ARG_VALUE', `The argument 'flags' is invalid. Received '${flag}'`);
  return { ...found, exclusive };
}

function openNode(given, flag, call) {
  const name = nameOf(given);
  const mode = flagsOf(flag);
  let node = tree.get(name);
  if (node !== undefined && mode.create && mode.exclusive) throw failure('EEXIST', call, given);
  if (mode.write) {
    if (node?.folder) throw failure('EISDIR', call, given);
    writable(name, call, given);
    if (node === undefined) {
      if (!mode.create) throw failure('ENOENT', call, given);
      touch(name);
      node = newFile();
      tree.set(name, node);
    }
    touch(name);
    if (mode.empty) { node.data = new Uint8Array(0); node.size = 0; }
  } else node ??= find(name, call, given);
  return { name, node, mode, at: 0 };
}

class Stats {
  constructor(node) {
    Object.assign(this, {
      dev: 1, mode: (node.folder ? 0o040000 : 0o100000) | node.mode, nlink: 1, uid: 1000, gid: 1000, rdev: 0, blksize: 4096, ino: node.inode,
      size: node.folder ? 4096 : node.size, blocks: Math.ceil((node.folder ? 4096 : node.size) / 512),
    });
    for (const time of ['atime', 'mtime', 'ctime', 'birthtime']) {
      // The time of a file is the time of the run, which is read only when a program looks at it.
      const at = () => node.times?.[time] ?? host.began();
      Object.defineProperty(this, `${time}Ms`, { get: at, enumerable: true });
      Object.defineProperty(this, time, { get: () => new Date(at()), enumerable: true });
    }
    Object.defineProperty(this, 'folder', { value: node.folder });
  }
  isFile() { return !this.folder; }
  isDirectory() { return this.folder; }
  isSymbolicLink() { return false; }
  isFIFO() { return false; }
  isSocket() { return false; }
  isBlockDevice() { return false; }
  isCharacterDevice() { return false; }
}

class Dirent {
  constructor(parent, name, node) { Object.assign(this, { name, parentPath: parent, path: parent }); Object.defineProperty(this, 'node', { value: node }); }
  isFile() { return !this.node.folder; }
  isDirectory() { return this.node.folder; }
  isSymbolicLink() { return false; }
}

function children(name) {
  const start = name === '/' ? '/' : `${name}/`;
  return [...tree.keys()].filter((other) => other !== name && other.startsWith(start) && !other.slice(start.length).includes('/')).sort();
}
function below(name) {
  return [...tree.keys()].filter((other) => other.startsWith(`${name}/`));
}
function remove(name) {
  touch(name);
  tree.delete(name);
}

const sync = {
  readFile(given, options) {
    const { encoding, flag = 'r' } = optionsOf(options);
    let bytes;
    if (given === 0 || given === '/dev/stdin') bytes = stdin.read();
    else if (typeof given === 'number') {
      const file = opened(given, 'read');
      bytes = bytesOf(file.node).slice(file.at);
      file.at = file.node.size;
    } else {
      const { node } = openNode(given, flag, 'open');
      if (node.folder) throw failure('EISDIR', 'read');
      bytes = bytesOf(node).slice();
    }
    return encoding ? decode(bytes, encoding) : wrap(bytes);
  },
  writeFile(given, data, options) {
    const { encoding, flag = 'w', mode } = optionsOf(options);
    if (given === 1 || given === 2) return void host.write(given, contentOf(data, encoding));
    if (typeof data !== 'string' && !ArrayBuffer.isView(data)) contentOf(data);
    const file = typeof given === 'number' ? opened(given, 'write') : openNode(given, flag, 'open');
    if (mode !== undefined) file.node.mode = mode & 0o777;
    writeAt(file, contentOf(data, encoding), null);
  },
  appendFile(given, data, options) { sync.writeFile(given, data, { flag: 'a', ...optionsOf(options) }); },
  exists(given) {
    let name;
    try { name = nameOf(given); } catch { return false; }
    if (!tree.has(name) && !isOwn(name)) host.need('files', name);
    return tree.has(name);
  },
  mkdir(given, options) {
    const { recursive = false, mode } = typeof options === 'number' ? { mode: options } : options ?? {};
    const name = nameOf(given);
    const node = tree.get(name);
    if (node !== undefined) {
      if (recursive && node.folder) return undefined;
      throw failure('EEXIST', 'mkdir', given);
    }
    let first;
    if (recursive && isOwn(name) && !tree.has(path.dirname(name))) first = sync.mkdir(path.dirname(name), options);
    writable(name, 'mkdir', given);
    touch(name);
    const made = folder();
    if (typeof mode === 'number') made.mode = mode & 0o777;
    tree.set(name, made);
    return recursive ? first ?? name : undefined;
  },
  readdir(given, options) {
    const { withFileTypes = false, recursive = false } = optionsOf(options);
    const name = nameOf(given);
    if (!find(name, 'scandir', given).folder) throw failure('ENOTDIR', 'scandir', given);
    const found = recursive ? below(name).sort() : children(name);
    return found.map((child) => {
      const shown = recursive && !withFileTypes ? child.slice(name.length + 1) : path.basename(child);
      return withFileTypes ? new Dirent(path.dirname(child), shown, tree.get(child)) : shown;
    });
  },
  stat(given, options) {
    const name = nameOf(given);
    if (options?.throwIfNoEntry === false && !tree.has(name) && isOwn(name)) return undefined;
    return new Stats(find(name, 'stat', given));
  },
  lstat(given, options) {
    const name = nameOf(given);
    if (options?.throwIfNoEntry === false && !tree.has(name) && isOwn(name)) return undefined;
    return new Stats(find(name, 'lstat', given));
  },
  fstat(fd) { return new Stats(opened(fd, 'fstat').node); },
  access(given, mode = 0) {
    const name = nameOf(given);
    find(name, 'access', given);
    if (mode & 2 && !isOwn(name)) throw failure('EACCES', 'access', given);
  },
  unlink(given) {
    const name = nameOf(given);
    if (find(name, 'unlink', given).folder) throw failure('EISDIR', 'unlink', given);
    writable(name, 'unlink', given);
    remove(name);
  },
  rmdir(given, options) {
    if (options?.recursive) return sync.rm(given, { recursive: true });
    const name = nameOf(given);
    if (!find(name, 'rmdir', given).folder) throw failure('ENOTDIR', 'rmdir', given);
    if (below(name).length > 0) throw failure('ENOTEMPTY', 'rmdir', given);
    writable(name, 'rmdir', given);
    return remove(name);
  },
  rm(given, { recursive = false, force = false } = {}) {
    const name = nameOf(given);
    if (!tree.has(name) && isOwn(name) && force) return;
    const node = find(name, 'rm', given);
    if (node.folder && !recursive) {
      throw coded(Error, 'ERR_FS_EISDIR', `Path is a directory: rm returned EISDIR (is a directory) ${given}`);
    }
    writable(name, 'rm', given);
    for (const inner of below(name)) remove(inner);
    if (!OWN.includes(name)) remove(name);
  },
  rename(from, to) {
    const [a, b] = [nameOf(from, 'oldPath'), nameOf(to, 'newPath')];
    const node = find(a, 'rename', from);
    writable(a, 'rename', from);
    writable(b, 'rename', to);
    if (a === b) return;
    if (b.startsWith(`${a}/`)) throw failure('EINVAL', 'rename', from, to);
    const target = tree.get(b);
    if (target?.folder && !node.folder) throw failure('EISDIR', 'rename', from, to);
    if (target !== undefined && !target.folder && node.folder) throw failure('ENOTDIR', 'rename', from, to);
    if (target?.folder && below(b).length > 0) throw failure('ENOTEMPTY', 'rename', from, to);
    for (const inner of [a, ...below(a)]) {
      const moved = b + inner.slice(a.length);
      touch(moved);
      tree.set(moved, tree.get(inner));
      remove(inner);
    }
  },
  copyFile(from, to, mode = 0) {
    const source = find(nameOf(from, 'src'), 'copyfile', from);
    if (source.folder) throw failure('EISDIR', 'copyfile', from, to);
    sync.writeFile(to, bytesOf(source), { flag: mode & 1 ? 'wx' : 'w' });
  },
  cp(from, to, options = {}) {
    const name = nameOf(from, 'src');
    const node = find(name, 'cp', from);
    if (!node.folder) return sync.copyFile(from, to);
    if (!options.recursive) throw coded(Error, 'ERR_FS_EISDIR', `Recursive option not enabled, cannot copy a directory: cp returned EISDIR (${from} is a directory (not copied)) ${from}`);
    sync.mkdir(to, { recursive: true });
    for (const child of children(name)) sync.cp(child, path.join(nameOf(to), path.basename(child)), options);
    return undefined;
  },
  open(given, flag = 'r') {
    const file = openNode(given, flag, 'open');
    let fd = 3;
    while (open.has(fd)) fd++;
    open.set(fd, file);
    return fd;
  },
  close(fd) { opened(fd, 'close'); open.delete(fd); },
  read(fd, buffer, offset = 0, length, position = null) {
    if (typeof offset === 'object' && offset !== null) ({ offset = 0, length, position = null } = offset);
    if (fd === 0) {
      const bytes = stdin.read(length ?? buffer.byteLength - offset);
      buffer.set(bytes, offset);
      return bytes.length;
    }
    const file = opened(fd, 'read');
    if (file.node.folder) throw failure('EISDIR', 'read');
    const from = position ?? file.at;
    const bytes = bytesOf(file.node).subarray(from, from + (length ?? buffer.byteLength - offset));
    new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength).set(bytes, offset);
    if (position === null) file.at += bytes.length;
    return bytes.length;
  },
  write(fd, data, offset, length, position) {
    let bytes, at = position ?? null;
    if (typeof data === 'string') { bytes = encode(data, length ?? 'utf8'); at = typeof offset === 'number' ? offset : null; }
    else bytes = contentOf(data).subarray(offset ?? 0, length === undefined || length === null ? undefined : (offset ?? 0) + length);
    if (fd === 1 || fd === 2) host.write(fd, bytes);
    else writeAt(opened(fd, 'write'), bytes, at);
    return bytes.length;
  },
  ftruncate(fd, size = 0) { const file = opened(fd, 'ftruncate'); touch(file.name); resize(file.node, size); },
  truncate(given, size = 0) { const file = openNode(given, 'r+', 'open'); resize(file.node, size); },
  mkdtemp(start) {
    const name = `${start}${Array.from(host.random(6), (byte) => 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'[byte % 62]).join('')}`;
    sync.mkdir(name);
    return name;
  },
  chmod(given, mode) { const name = nameOf(given); const node = find(name, 'chmod', given); node.mode = Number(typeof mode === 'string' ? parseInt(mode, 8) : mode) & 0o777; },
  utimes(given, atime, mtime) {
    const node = find(nameOf(given), 'utime', given);
    const at = (time) => (time instanceof Date ? time.getTime() : Number(time) * 1000);
    node.times = { ...node.times, atime: at(atime), mtime: at(mtime) };
  },
  realpath(given) { const name = nameOf(given); find(name, 'lstat', given); return name; },
  fsync() {},
  fdatasync() {},
  symlink(target, given) { throw failure('EPERM', 'symlink', target, given); },
  link(from, to) { throw failure('EPERM', 'link', from, to); },
  readlink(given) { find(nameOf(given), 'readlink', given); throw failure('EINVAL', 'readlink', given); },
};

function writeAt(file, bytes, position) {
  if (!file.mode.write) throw failure('EBADF', 'write');
  touch(file.name);
  const at = file.mode.append ? file.node.size : position ?? file.at;
  if (at + bytes.length > file.node.size) resize(file.node, at + bytes.length);
  file.node.data.set(bytes, at);
  if (position === null) file.at = at + bytes.length;
}

const { later } = require('timers');
const fs = {};
const promises = {};
for (const [name, run] of Object.entries(sync)) {
  const named = (type, body) => Object.defineProperty(body, 'name', { value: type });
  fs[`${name}Sync`] = named(`${name}Sync`, run);
  fs[name] = named(name, (...values) => {
    const done = values.pop();
    if (typeof done !== 'function') throw argumentType('cb', 'of type function', done);
    let error = null, value;
    try { value = run(...values); } catch (caught) { error = caught; }
    // `exists` alone has no error.
    later(() => (name === 'exists' ? done(value) : error === null ? done(null, value) : done(error)));
  });
  if (name === 'exists') continue;
  promises[name] = named(name, (...values) => new Promise((resolve, reject) => {
    let error, value, failed = false;
    try { value = run(...values); } catch (caught) { failed = true; error = caught; }
    later(() => (failed ? reject(error) : resolve(value)));
  }));
}
fs.read = (fd, ...values) => { const done = values.pop(); later(() => { let count; try { count = sync.read(fd, ...values); } catch (error) { return done(error); } return done(null, count, values[0]); }); };
fs.realpathSync.native = fs.realpathSync;

class FileHandle {
  constructor(fd) { this.fd = fd; }
  async readFile(options) { return sync.readFile(this.fd, options); }
  async writeFile(data, options) { return sync.writeFile(this.fd, data, options); }
  async appendFile(data, options) { return sync.writeFile(this.fd, data, options); }
  async read(buffer, ...rest) { return { bytesRead: sync.read(this.fd, buffer, ...rest), buffer }; }
  async write(data, ...rest) { return { bytesWritten: sync.write(this.fd, data, ...rest), buffer: data }; }
  async stat() { return sync.fstat(this.fd); }
  async truncate(size) { return sync.ftruncate(this.fd, size); }
  async close() { sync.close(this.fd); }
  async *readLines() { yield* sync.readFile(this.fd, 'utf8').replace(/\n$/, '').split(/\r?\n/); }
  async [Symbol.asyncDispose ?? Symbol.for('asyncDispose')]() { sync.close(this.fd); }
}
promises.open = async (...values) => new FileHandle(sync.open(...values));

const CHUNK = 65536;
function createReadStream(given, options) {
  const { encoding, start = 0, end = Infinity, highWaterMark = CHUNK } = optionsOf(options);
  const { Readable } = require('stream');
  const stream = new Readable((function* () {
    const bytes = bytesOf(openNode(given, 'r', 'open').node).slice(start, end + 1);
    for (let at = 0; at < bytes.length; at += highWaterMark) yield wrap(bytes.slice(at, at + highWaterMark));
  })(), { encoding });
  stream.path = given;
  try { find(nameOf(given), 'open', given); later(() => { stream.emit('open', 3); stream.emit('ready'); }); } catch (error) {
    stream.destroyed = true;
    later(() => stream.emit('error', error));
  }
  return stream;
}
function createWriteStream(given, options) {
  const { encoding, flags: flag = 'w' } = optionsOf(options);
  const { Writable } = require('stream');
  let file;
  const stream = new Writable({ write: (piece, named) => { if (file !== undefined) { stream.bytesWritten += piece.length; writeAt(file, contentOf(piece, named ?? encoding), null); } } });
  stream.path = given;
  stream.bytesWritten = 0;
  try { file = openNode(given, flag, 'open'); } catch (error) { later(() => stream.emit('error', error)); }
  return stream;
}

const constants = { F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1, COPYFILE_EXCL: 1, O_RDONLY: 0, O_WRONLY: 1, O_RDWR: 2, O_CREAT: 64, O_EXCL: 128, O_TRUNC: 512, O_APPEND: 1024, S_IFMT: 61440, S_IFREG: 32768, S_IFDIR: 16384, S_IFLNK: 40960 };
Object.assign(promises, { constants });
Object.assign(fs, { promises, constants, ...constants, createReadStream, createWriteStream, Stats, Dirent });

const internal = {
  stdin,
  // Puts a file of the program's there, or makes a change of the session's.
  place(name, kind, bytes) {
    const at = path.resolve(name);
    if (kind === 'removed') { for (const inner of [at, ...below(at)]) tree.delete(inner); return; }
    for (let up = path.dirname(at), missing = []; ; up = path.dirname(up)) {
      if (tree.get(up)?.folder) { for (const one of missing.reverse()) tree.set(one, folder()); break; }
      missing.push(up);
    }
    if (kind === 'folder') { if (!tree.get(at)?.folder) tree.set(at, folder()); return; }
    for (const inner of below(at)) tree.delete(inner);
    const node = newFile();
    node.data = bytes;
    node.size = bytes.length;
    tree.set(at, node);
  },
  // Reports the changes since the last call to `report`: parents before their children, one for a removed folder.
  takeChanges(report) {
    const changed = touched;
    touched = new Map();
    let gone;
    for (const name of [...changed.keys()].sort()) {
      const [before, node] = [changed.get(name), tree.get(name)];
      if (node === undefined) {
        if (before === undefined || (gone !== undefined && name.startsWith(`${gone}/`))) continue;
        gone = name;
        report(name, 'removed');
      } else if (node.folder) { if (!before?.folder) report(name, 'folder'); } else report(name, 'file', bytesOf(node).slice());
    }
  },
  sourceOf: (name) => { const node = tree.get(name); return node === undefined || node.folder ? undefined : decode(bytesOf(node)); },
  isFolder: (name) => tree.get(name)?.folder === true,
  isFile: (name) => tree.get(name)?.folder === false,
  closeAll: () => open.clear(),
};
module.exports = fs;
for (const [name, value] of Object.entries(internal)) Object.defineProperty(module.exports, `_${name}`, { value, enumerable: false });
