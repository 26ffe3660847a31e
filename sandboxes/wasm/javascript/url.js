// `URL` and `URLSearchParams`, and Node's `url`.
'use strict';

const { coded } = require('errors');
const { inspect } = require('inspect');

const PORTS = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443', 'ftp:': '21', 'file:': '' };

function percent(text, keep) {
  let out = '';
  for (const char of text) {
    const code = char.codePointAt(0);
    if (code > 32 && code < 127 && !keep.includes(char)) out += char;
    else for (const byte of host.encode(char)) out += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}
const PATH = '"#<>?`{}^';
const QUERY = '"#<>\'';
const FRAGMENT = '"<>`';
const USER = '"#<>?`{}/:;=@[\\]^|';

function invalid(input, base) {
  return coded(TypeError, 'ERR_INVALID_URL', 'Invalid URL', base === undefined ? { input } : { input, base });
}

function hostOf(text, special, input) {
  if (text.startsWith('[')) {
    if (!/^\[[0-9a-fA-F:.]+\]$/.test(text)) throw invalid(input);
    return text.toLowerCase();
  }
  if (!special) return text;
  let name;
  try { name = decodeURIComponent(text).toLowerCase(); } catch { throw invalid(input); }
  if (/[^\x00-\x7f]/.test(name)) name = name.split('.').map((label) => /[^\x00-\x7f]/.test(label) ? `xn--${punycode(label.normalize('NFC'))}` : label).join('.');
  if (name === '' || /[\x00-\x20#%/:<>?@[\\\]^|]/.test(name)) throw invalid(input);
  const numbers = name.replace(/\.$/, '').split('.');
  if (/^(0x[0-9a-f]*|[0-9]+)$/.test(numbers.at(-1))) {
    const values = numbers.map((part) => part.startsWith('0x') ? parseInt(part.slice(2) || '0', 16) : part.length > 1 && part.startsWith('0') ? parseInt(part, 8) : Number(part));
    const last = values.pop();
    if (values.length > 3 || values.some((value) => !(value <= 255)) || !(last < 256 ** (4 - values.length))) throw invalid(input);
    const address = values.reduce((sum, value, at) => sum + value * 256 ** (3 - at), last);
    return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
  }
  return name;
}

// RFC 3492.
function punycode(text) {
  const codes = Array.from(text, (char) => char.codePointAt(0));
  let out = codes.filter((code) => code < 128).map((code) => String.fromCharCode(code)).join('');
  let handled = out.length;
  const basic = handled;
  if (basic > 0) out += '-';
  let n = 128, delta = 0, bias = 72;
  while (handled < codes.length) {
    const next = Math.min(...codes.filter((code) => code >= n));
    delta += (next - n) * (handled + 1);
    n = next;
    for (const code of codes) {
      if (code < n) delta++;
      if (code !== n) continue;
      let q = delta;
      for (let k = 36; ; k += 36) {
        const t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
        if (q < t) break;
        const digit = t + (q - t) % (36 - t);
        out += String.fromCharCode(digit < 26 ? digit + 97 : digit + 22);
        q = Math.floor((q - t) / (36 - t));
      }
      out += String.fromCharCode(q < 26 ? q + 97 : q + 22);
      let d = handled === basic ? Math.floor(delta / 700) : delta >> 1;
      d += Math.floor(d / (handled + 1));
      let k = 0;
      for (; d > 455; k += 36) d = Math.floor(d / 35);
      bias = k + Math.floor(36 * d / (d + 38));
      delta = 0;
      handled++;
    }
    delta++;
    n++;
  }
  return out;
}

function dots(segments) {
  const out = [];
  segments.forEach((segment, at) => {
    const plain = segment.replace(/%2e/gi, '.');
    const last = at === segments.length - 1;
    if (plain === '..') { out.pop(); if (last) out.push(''); }
    else if (plain === '.') { if (last) out.push(''); }
    else out.push(segment);
  });
  return out;
}

function parse(input, base) {
  const text = String(input).replace(/^[\x00-\x20]+|[\x00-\x20]+$/g, '').replace(/[\t\n\r]/g, '');
  let [, scheme, rest] = /^([a-zA-Z][a-zA-Z0-9+.-]*:)?(.*)$/s.exec(text);
  const url = { protocol: '', username: '', password: '', hostname: null, port: '', path: '', opaque: false, search: '', hash: '' };
  const hashAt = rest.indexOf('#');
  if (hashAt >= 0) { url.hash = `#${percent(rest.slice(hashAt + 1), FRAGMENT)}`; rest = rest.slice(0, hashAt); if (url.hash === '#') url.hash = ''; }
  if (scheme !== undefined && base !== undefined && scheme.toLowerCase() === base.protocol && scheme.toLowerCase() in PORTS && !/^[/\\]/.test(rest)) scheme = undefined;
  if (scheme === undefined && base === undefined) throw invalid(input);
  url.protocol = (scheme ?? base.protocol).toLowerCase();
  const special = url.protocol in PORTS;
  const queryAt = rest.indexOf('?');
  let query;
  if (queryAt >= 0) { query = rest.slice(queryAt + 1); rest = rest.slice(0, queryAt); }
  if (special) rest = rest.replaceAll('\\', '/');
  if (query) url.search = `?${percent(query, special ? QUERY : '"#<>')}`;
  if (scheme === undefined && base.opaque) { if (rest !== '' || query !== undefined) throw invalid(input); return { ...base, hash: url.hash }; }
  if (special && scheme !== undefined && url.protocol !== 'file:') rest = `//${rest.replace(/^\/+/, '')}`;
  if (rest.startsWith('//')) {
    const [, authority, path] = /^\/\/([^/]*)(.*)$/s.exec(rest);
    const at = authority.lastIndexOf('@');
    const [name, ...secret] = at < 0 ? [''] : authority.slice(0, at).split(':');
    url.username = percent(name, USER);
    url.password = percent(secret.join(':'), USER);
    const [, hostname, port] = /^(.*?)(?::([0-9]*))?$/s.exec(authority.slice(at + 1));
    if (port === undefined && /:[^\]]*$/.test(authority.slice(at + 1)) && !authority.endsWith(']')) throw invalid(input);
    if (port !== undefined && Number(port) > 65535) throw invalid(input);
    if (special && hostname === '' && url.protocol !== 'file:') throw invalid(input);
    url.hostname = hostname === '' ? '' : hostOf(hostname, special, input);
    if (url.protocol === 'file:' && url.hostname === 'localhost') url.hostname = '';
    url.port = !port || String(Number(port)) === PORTS[url.protocol] ? '' : String(Number(port));
    rest = path;
    if (special && rest === '') rest = '/';
  } else if (scheme === undefined) {
    for (const part of ['username', 'password', 'hostname', 'port']) url[part] = base[part];
    if (rest === '') { rest = base.path; if (query === undefined) url.search = base.search; url.path = rest; return url; }
    if (!rest.startsWith('/')) rest = `${base.path.slice(0, base.path.lastIndexOf('/') + 1) || '/'}${rest}`;
  } else if (special) {
    url.hostname = '';
    if (!rest.startsWith('/')) rest = `/${rest}`;
  } else if (!rest.startsWith('/')) {
    url.opaque = true;
    url.path = percent(rest, '');
    return url;
  }
  url.path = rest === '' ? '' : `/${dots(rest.slice(1).split('/').map((part) => percent(part, PATH))).join('/')}`;
  return url;
}

function decodeForm(text) {
  const bytes = [];
  const raw = host.encode(text.replaceAll('+', ' '));
  for (let at = 0; at < raw.length; at++) {
    const hex = raw[at] === 37 ? String.fromCharCode(raw[at + 1] ?? 0, raw[at + 2] ?? 0) : '';
    if (/^[0-9a-fA-F]{2}$/.test(hex)) { bytes.push(parseInt(hex, 16)); at += 2; } else bytes.push(raw[at]);
  }
  return host.decode(Uint8Array.from(bytes), false);
}
function encodeForm(text) {
  let out = '';
  for (const byte of host.encode(text)) {
    const char = String.fromCharCode(byte);
    out += byte === 32 ? '+' : /[A-Za-z0-9*._-]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

class URLSearchParams {
  #list = [];
  #changed = () => {};
  constructor(given = '') {
    if (typeof given === 'object' && given !== null) {
      if (typeof given[Symbol.iterator] === 'function') {
        for (const pair of given) {
          const [name, value, ...rest] = pair;
          if (value === undefined || rest.length > 0) throw coded(TypeError, 'ERR_INVALID_TUPLE', 'Each query pair must be an iterable [name, value] tuple');
          this.#list.push([String(name), String(value)]);
        }
      } else for (const name of Object.keys(given)) this.#list.push([name, String(given[name])]);
    } else this.#read(String(given));
  }
  #read(text) {
    this.#list = text.replace(/^\?/, '').split('&').filter((part) => part !== '').map((part) => {
      const at = part.indexOf('=');
      return at < 0 ? [decodeForm(part), ''] : [decodeForm(part.slice(0, at)), decodeForm(part.slice(at + 1))];
    });
  }
  static of(text, changed) {
    const params = new URLSearchParams(text);
    params.#changed = changed;
    return params;
  }
  static reread(params, text) { params.#read(text); }
  append(name, value) { this.#list.push([String(name), String(value)]); this.#changed(); }
  delete(name, value) { this.#list = this.#list.filter((pair) => pair[0] !== name || (value !== undefined && pair[1] !== value)); this.#changed(); }
  get(name) { return this.#list.find((pair) => pair[0] === name)?.[1] ?? null; }
  getAll(name) { return this.#list.filter((pair) => pair[0] === name).map((pair) => pair[1]); }
  has(name, value) { return this.#list.some((pair) => pair[0] === name && (value === undefined || pair[1] === value)); }
  set(name, value) {
    const at = this.#list.findIndex((pair) => pair[0] === name);
    if (at < 0) this.#list.push([String(name), String(value)]);
    else this.#list = this.#list.filter((pair, index) => pair[0] !== name || index === at).map((pair) => pair[0] === name ? [pair[0], String(value)] : pair);
    this.#changed();
  }
  sort() { this.#list.sort((a, b) => a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0); this.#changed(); }
  forEach(callback, self) { for (const [name, value] of this.#list) callback.call(self, value, name, this); }
  *keys() { for (const [name] of this.#list) yield name; }
  *values() { for (const [, value] of this.#list) yield value; }
  *entries() { for (const pair of this.#list) yield [...pair]; }
  [Symbol.iterator]() { return this.entries(); }
  get size() { return this.#list.length; }
  toString() { return this.#list.map((pair) => pair.map(encodeForm).join('=')).join('&'); }
  get [Symbol.toStringTag]() { return 'URLSearchParams'; }
  [inspect.custom](depth, options) {
    return this.#list.length === 0 ? 'URLSearchParams {}' : `URLSearchParams { ${this.#list.map(([name, value]) => `${inspect(name)} => ${inspect(value)}`).join(', ')} }`;
  }
}

class URL {
  #url;
  #params;
  constructor(input, base) {
    if (arguments.length === 0) throw coded(TypeError, 'ERR_MISSING_ARGS', 'The "url" argument must be specified');
    this.#url = parse(input, base === undefined ? undefined : parse(base));
  }
  static canParse(input, base) { try { return Boolean(new URL(input, base)); } catch { return false; } }
  static parse(input, base) { try { return new URL(input, base); } catch { return null; } }
  #change(text) { try { this.#url = parse(text); } catch { /* An invalid part changes nothing. */ } }
  get href() {
    const { protocol, username, password, hostname, path, search, hash } = this.#url;
    const secret = password === '' ? '' : `:${password}`;
    const user = username === '' && secret === '' ? '' : `${username}${secret}@`;
    return hostname === null ? `${protocol}${path}${search}${hash}` : `${protocol}//${user}${this.host}${path}${search}${hash}`;
  }
  set href(value) { this.#url = parse(value); if (this.#params) URLSearchParams.reread(this.#params, this.search); }
  get origin() { return this.#url.protocol in PORTS && this.#url.protocol !== 'file:' ? `${this.#url.protocol}//${this.host}` : 'null'; }
  get protocol() { return this.#url.protocol; }
  set protocol(value) { const scheme = /^[a-z][a-z0-9+.-]*/i.exec(value)?.[0].toLowerCase(); if (scheme && (`${scheme}:` in PORTS) === (this.#url.protocol in PORTS)) { this.#url.protocol = `${scheme}:`; if (this.#url.port === PORTS[this.#url.protocol]) this.#url.port = ''; } }
  get username() { return this.#url.username; }
  set username(value) { this.#url.username = percent(String(value), USER); }
  get password() { return this.#url.password; }
  set password(value) { this.#url.password = percent(String(value), USER); }
  get host() { return `${this.#url.hostname ?? ''}${this.#url.port === '' ? '' : `:${this.#url.port}`}`; }
  set host(value) { const { protocol, path, search, hash } = this.#url; this.#change(`${protocol}//${value}${path}${search}${hash}`); }
  get hostname() { return this.#url.hostname ?? ''; }
  set hostname(value) { try { this.#url.hostname = hostOf(String(value), this.#url.protocol in PORTS, value); } catch { /* An invalid part changes nothing. */ } }
  get port() { return this.#url.port; }
  set port(value) { const port = /^[0-9]*/.exec(String(value))[0]; if (port === '' ? String(value) === '' : Number(port) <= 65535) this.#url.port = port === PORTS[this.#url.protocol] ? '' : port && String(Number(port)); }
  get pathname() { return this.#url.path; }
  set pathname(value) { if (!this.#url.opaque) { const path = String(value); this.#url.path = `/${dots(path.replace(/^\//, '').split('/').map((part) => percent(part, PATH))).join('/')}`; } }
  get search() { return this.#url.search; }
  set search(value) { const text = String(value).replace(/^\?/, ''); this.#url.search = text === '' ? '' : `?${percent(text, QUERY)}`; if (this.#params) URLSearchParams.reread(this.#params, this.search); }
  get searchParams() {
    this.#params ??= URLSearchParams.of(this.search, () => { const text = this.#params.toString(); this.#url.search = text === '' ? '' : `?${text}`; });
    return this.#params;
  }
  get hash() { return this.#url.hash; }
  set hash(value) { const text = String(value).replace(/^#/, ''); this.#url.hash = text === '' ? '' : `#${percent(text, FRAGMENT)}`; }
  toString() { return this.href; }
  toJSON() { return this.href; }
  get [Symbol.toStringTag]() { return 'URL'; }
  [inspect.custom](depth, options) {
    const shown = {};
    for (const name of ['href', 'origin', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'searchParams', 'hash']) shown[name] = this[name];
    return `URL ${inspect(shown, options)}`;
  }
}

function fileURLToPath(given) {
  const url = given instanceof URL ? given : new URL(given);
  if (url.protocol !== 'file:') throw coded(TypeError, 'ERR_INVALID_URL_SCHEME', 'The URL must be of scheme file');
  return decodeURIComponent(url.pathname);
}
function pathToFileURL(path) {
  const url = new URL('file:///');
  url.pathname = require('path').resolve(path).replaceAll('%', '%25');
  return url;
}

// The older interface: an object of parts.
function legacy(text, parseQuery = false) {
  const [, protocol = null, slashes, auth = null, hostname = null, port = null, pathname = null, search = null, hash = null] =
    /^([a-z][a-z0-9+.-]*:)?(\/\/)?(?:(?<=\/\/)(?:([^@/?#]*)@)?([^:/?#]*)(?::(\d+))?)?([^?#]*)?(\?[^#]*)?(#.*)?$/is.exec(text) ?? [];
  const query = search === null ? null : search.slice(1);
  const path = (pathname ?? '') + (search ?? '');
  const whole = hostname === null ? null : hostname + (port === null ? '' : `:${port}`);
  return {
    protocol, slashes: slashes === undefined ? null : true, auth, host: whole, port, hostname, hash, search,
    query: parseQuery ? require('querystring').parse(query ?? '') : query, pathname: pathname || null, path: path || null, href: text,
  };
}
function formatUrl(url) {
  if (typeof url === 'string' || url instanceof URL) return String(url);
  const protocol = url.protocol ? (url.protocol.endsWith(':') ? url.protocol : `${url.protocol}:`) : '';
  const where = url.host ?? (url.hostname ? url.hostname + (url.port ? `:${url.port}` : '') : '');
  const search = url.search ?? (url.query && typeof url.query === 'object' ? require('querystring').stringify(url.query) : '');
  return `${protocol}${url.slashes || (where && protocol) ? '//' : ''}${url.auth ? `${url.auth}@` : ''}${where}${url.pathname ?? ''}${search && !search.startsWith('?') ? '?' : ''}${search}${url.hash ?? ''}`;
}

module.exports = { URL, URLSearchParams, fileURLToPath, pathToFileURL, parse: legacy, format: formatUrl, resolve: (from, to) => new URL(to, new URL(from, 'resolve://x/')).href.replace(/^resolve:\/\/x/, '') };
