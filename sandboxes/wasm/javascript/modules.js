// `require` and `import`: of the files that are there, and of the modules of Node that this sandbox has.
'use strict';

const { coded, inserted, WRAPPER } = require('errors');
const fs = require('fs');
const path = require('path');

const GLOBAL = 0, MODULE = 1;
const builtins = {
  assert: () => require('assert'), 'assert/strict': () => require('assert').strict, buffer: () => ({ ...require('buffer'), Buffer, Blob, atob, btoa }),
  console: () => require('console'), crypto: () => require('crypto'), events: () => require('events'), fs: () => fs, 'fs/promises': () => fs.promises,
  module: () => api, os: () => require('os'), path: () => path, 'path/posix': () => path, perf_hooks: () => require('perf_hooks'), process: () => require('process'),
  querystring: () => require('querystring'), readline: () => require('readline'), 'readline/promises': () => require('readline').promises,
  string_decoder: () => require('string_decoder'), timers: () => require('timers'), 'timers/promises': () => require('timers').promises,
  url: () => require('url'), util: () => require('util'), 'util/types': () => require('util').types,
};
// What Node has and this sandbox has not, and what a program needs it for. All others are modules.
const absent = {
  child_process: 'process', cluster: 'process', worker_threads: 'threads', net: 'network', http: 'network', https: 'network', http2: 'network', dgram: 'network', dns: 'network', tls: 'network',
};
const EXTENSIONS = ['.js', '.cjs', '.mjs', '.json', '.ts', '.cts', '.mts'];
const isTypeScript = (name) => /\.[cm]?ts$/.test(name);
const KEY = Symbol.for('switchtower.require');

const cache = Object.create(null);

function file(name) {
  if (fs._isFile(name)) return name;
  for (const extension of EXTENSIONS) if (fs._isFile(name + extension)) return name + extension;
  // TypeScript names the file that its compiler would write.
  const written = /^(.*)\.([cm]?)js$/.exec(name);
  if (written !== null && fs._isFile(`${written[1]}.${written[2]}ts`)) return `${written[1]}.${written[2]}ts`;
  if (!fs._isFolder(name)) return undefined;
  const description = fs._sourceOf(`${name}/package.json`);
  if (description !== undefined) {
    let main;
    try { const fields = JSON.parse(description); main = fields.main ?? fields.module; } catch { main = undefined; }
    if (typeof main === 'string') { const found = file(path.join(name, main)); if (found !== undefined) return found; }
  }
  return EXTENSIONS.map((extension) => `${name}/index${extension}`).find((index) => fs._isFile(index));
}

// Returns the name of a module: `node:…` or a path.
function resolve(base, specifier, isImport) {
  specifier = String(specifier);
  const plain = specifier.startsWith('node:') ? specifier.slice(5) : specifier;
  if (Object.hasOwn(builtins, plain)) return `node:${plain}`;
  const folder = base.startsWith('/') ? path.dirname(base) : process.cwd();
  if (/^(\.{1,2}(\/|$)|\/|file:)/.test(specifier)) {
    const wanted = specifier.startsWith('file:') ? require('url').fileURLToPath(specifier) : path.resolve(folder, specifier);
    const found = file(wanted);
    if (found !== undefined) return found;
    if (!wanted.startsWith('/home/user/') && !wanted.startsWith('/tmp/')) host.need('files', wanted);
    throw missing(isImport ? wanted : specifier, base, isImport, 'module');
  }
  const [first, second] = plain.split('/');
  const name = first.startsWith('@') && second !== undefined ? `${first}/${second}` : first;
  for (let up = folder; ; up = path.dirname(up)) {
    const found = file(path.join(up, 'node_modules', plain));
    if (found !== undefined) return found;
    if (up === '/') break;
  }
  host.need(absent[first] ?? 'module', specifier.startsWith('node:') ? specifier : name);
  throw missing(isImport ? name : specifier, base, isImport, 'package');
}

function missing(name, base, isImport, what) {
  if (isImport) return coded(Error, 'ERR_MODULE_NOT_FOUND', `Cannot find ${what} '${name}' imported from ${base}`);
  return Object.assign(new Error(`Cannot find module '${name}'\nRequire stack:\n- ${base}`), { code: 'MODULE_NOT_FOUND', requireStack: [base] });
}

function read(name) {
  const source = fs._sourceOf(name).replace(/^\ufeff/, '').replace(/^#!.*/, '');
  return isTypeScript(name) ? translated(source, name) : source;
}

function translated(source, name) {
  const { code, error, line } = JSON.parse(host.translate(source));
  if (code !== undefined) return code;
  const failure = new SyntaxError(error);
  failure.stack = `SyntaxError: ${error}\n    at ${name}:${line}:1`;
  throw failure;
}

const isModule = (name, source) => /\.m[jt]s$/.test(name) || (!/\.(c[jt]s|json)$/.test(name) && host.isModule(source));

// Returns the function that a file's code is wrapped in.
function wrap(source, name, { isAsync = false } = {}) {
  const head = `(${isAsync ? 'async ' : ''}function ${WRAPPER}(exports, require, module, __filename, __dirname) {`;
  inserted.set(name, [{ line: 1, column: 0, width: head.length }, ...(inserted.get(name) ?? [])]);
  return host.compile(`${head}${source}\n})`, name, GLOBAL);
}

function Module(id) {
  this.id = id;
  this.path = path.dirname(id);
  this.exports = {};
  this.filename = id;
  this.loaded = false;
  this.children = [];
  this.paths = [];
}

function makeRequire(base) {
  const require_ = (specifier) => {
    if (typeof specifier !== 'string') throw require('errors').argumentType('id', 'of type string', specifier);
    return load(resolve(base, specifier, false));
  };
  require_.resolve = (specifier) => resolve(base, specifier, false).replace(/^node:/, '');
  require_.cache = cache;
  require_.main = mainModule;
  require_.extensions = Object.create(null);
  return require_;
}

let mainModule;

function load(name) {
  if (name.startsWith('node:')) return builtins[name.slice(5)]();
  if (cache[name] !== undefined) return cache[name].exports;
  const module_ = new Module(name);
  cache[name] = module_;
  let done = false;
  try {
    if (name.endsWith('.json')) {
      try { module_.exports = JSON.parse(fs._sourceOf(name)); } catch (error) { error.message = `${name}: ${error.message}`; throw error; }
    } else {
      const source = read(name);
      if (isModule(name, source)) module_.exports = loadModule(name);
      else wrap(source, name).call(module_.exports, module_.exports, makeRequire(name), module_, name, module_.path);
    }
    done = true;
  } finally {
    if (!done) delete cache[name];
  }
  module_.loaded = true;
  return module_.exports;
}

// Returns the namespace of a module that `require` asks for.
function loadModule(name) {
  const promise = import_(name);
  host.jobs();
  const state = host.promiseState(promise);
  if (state === 0) throw coded(Error, 'ERR_REQUIRE_ASYNC_MODULE', 'require() cannot be used on an ESM graph with top-level await. Use import() instead.');
  promise.catch(() => {});
  if (state === 2) throw host.promiseResult(promise);
  return host.promiseResult(promise);
}
let import_;

// Returns the source of a module that `import` asks for.
function source(name) {
  if (name.startsWith('node:') || /\.(json|cjs|cts)$/.test(name)) return facade(name);
  const text = read(name);
  return isModule(name, text) ? withMeta(text, name) : facade(name);
}

// Gives a module what `import.meta` has in Node.
function withMeta(text, name) {
  if (!text.includes('import.meta')) return text;
  const meta = { url: String(require('url').pathToFileURL(name)), filename: name, dirname: path.dirname(name) };
  const head = `Object.assign(import.meta, ${JSON.stringify(meta)}, { resolve: (to) => new URL(to, import.meta.url).href });`;
  inserted.set(name, [{ line: 1, column: 0, width: head.length }, ...(inserted.get(name) ?? [])]);
  return head + text;
}

// A module whose exports are those of a CommonJS one.
function facade(name) {
  const exported = load(name);
  const names = typeof exported === 'object' || typeof exported === 'function' ? Object.keys(exported ?? {}) : [];
  const usable = names.filter((key) => /^[A-Za-z_$][\w$]*$/.test(key) && key !== 'default');
  const lines = usable.map((key, at) => `const e${at} = m[${JSON.stringify(key)}]; export { e${at} as ${key} };`);
  return `const m = globalThis[Symbol.for('switchtower.require')](${JSON.stringify(name)}); export default m; ${lines.join(' ')}`;
}

Object.defineProperty(globalThis, KEY, { value: load, enumerable: false });

const api = { Module, createRequire: (base) => makeRequire(String(base).startsWith('file:') ? require('url').fileURLToPath(base) : String(base)), builtinModules: Object.keys(builtins), isBuiltin: (name) => Object.hasOwn(builtins, name.replace(/^node:/, '')) };
Object.defineProperty(require('process'), 'getBuiltinModule', { value: (name) => builtins[String(name).replace(/^node:/, '')]?.(), enumerable: true, writable: true, configurable: true });

module.exports = {
  resolve: (base, specifier) => resolve(base, specifier, true),
  source, wrap, withMeta, makeRequire, Module, MODULE, GLOBAL,
  // Returns the module of the program itself.
  main(name) {
    mainModule = new Module(name);
    mainModule.id = '.';
    mainModule.require = makeRequire(name);
    cache[name] = mainModule;
    return mainModule;
  },
  setImport(given) { import_ = given; },
  builtinNames: Object.keys(builtins),
};
