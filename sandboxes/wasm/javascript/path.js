// Node's `path`, for POSIX.
'use strict';

const { argumentType } = require('errors');

function text(value, name = 'path') {
  if (typeof value !== 'string') throw argumentType(name, 'of type string', value);
  return value;
}

function parts(path, absolute) {
  const out = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') out.push(part);
    else if (out.length > 0 && out.at(-1) !== '..') out.pop();
    else if (!absolute) out.push('..');
  }
  return out;
}

const path = {
  sep: '/',
  delimiter: ':',
  normalize(given) {
    if (text(given) === '') return '.';
    const absolute = given.startsWith('/');
    const joined = parts(given, absolute).join('/');
    const tail = given.endsWith('/') && joined !== '' ? '/' : '';
    return absolute ? `/${joined}${tail}` : joined === '' ? (given.endsWith('/') ? './' : '.') : joined + tail;
  },
  isAbsolute: (given) => text(given).startsWith('/'),
  join(...given) {
    const joined = given.map((part) => text(part)).filter((part) => part !== '').join('/');
    return joined === '' ? '.' : path.normalize(joined);
  },
  resolve(...given) {
    let resolved = '';
    for (const part of [...given].reverse()) {
      if (text(part, 'paths[0]') === '') continue;
      resolved = resolved === '' ? part : `${part}/${resolved}`;
      if (part.startsWith('/')) break;
    }
    if (!resolved.startsWith('/')) resolved = `${process.cwd()}/${resolved}`;
    return `/${parts(resolved, true).join('/')}`;
  },
  relative(from, to) {
    const [a, b] = [path.resolve(text(from, 'from')), path.resolve(text(to, 'to'))].map((whole) => whole.split('/').filter(Boolean));
    let same = 0;
    while (same < a.length && same < b.length && a[same] === b[same]) same++;
    return [...a.slice(same).map(() => '..'), ...b.slice(same)].join('/');
  },
  dirname(given) {
    const trimmed = text(given).replace(/(?<=.)\/+$/, '');
    const at = trimmed.lastIndexOf('/');
    return at < 0 ? '.' : at === 0 ? '/' : trimmed.slice(0, at).replace(/(?<=.)\/+$/, '');
  },
  basename(given, suffix) {
    const trimmed = text(given).replace(/\/+$/, '');
    const base = trimmed.slice(trimmed.lastIndexOf('/') + 1);
    return suffix !== undefined && base !== suffix && base.endsWith(text(suffix, 'suffix')) ? base.slice(0, base.length - suffix.length) : base;
  },
  extname(given) {
    const base = path.basename(text(given));
    const at = base.lastIndexOf('.');
    return at <= 0 || base === '..' ? '' : base.slice(at);
  },
  parse(given) {
    const base = path.basename(text(given));
    const ext = path.extname(given);
    const root = given.startsWith('/') ? '/' : '';
    const dir = path.dirname(given);
    return { root, dir: dir === '.' && !given.startsWith('./') ? '' : dir, base, ext, name: ext === '' ? base : base.slice(0, -ext.length) };
  },
  format({ dir, root, base, name, ext }) {
    const last = base ?? `${name ?? ''}${ext ? (ext.startsWith('.') ? ext : `.${ext}`) : ''}`;
    const folder = dir ?? root;
    return !folder ? last : folder === root ? `${folder}${last}` : `${folder}/${last}`;
  },
  toNamespacedPath: (given) => given,
};
path.posix = path;

module.exports = path;
