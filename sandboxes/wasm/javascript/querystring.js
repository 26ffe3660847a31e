// Node's `querystring`.
'use strict';

const escape = (text) => encodeURIComponent(String(text));
function unescape(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

const plain = (value) => ['string', 'number', 'bigint', 'boolean'].includes(typeof value) ? String(value) : '';

function stringify(values, separator = '&', equals = '=', { encodeURIComponent: encode = escape } = {}) {
  if (typeof values !== 'object' || values === null) return '';
  return Object.keys(values).flatMap((name) => [values[name]].flat().map((value) => `${encode(name)}${equals}${encode(plain(value))}`)).join(separator);
}

function parse(text, separator = '&', equals = '=', { decodeURIComponent: decode = unescape, maxKeys = 1000 } = {}) {
  const values = Object.create(null);
  if (typeof text !== 'string' || text === '') return values;
  const pairs = text.split(separator);
  for (const pair of maxKeys > 0 ? pairs.slice(0, maxKeys) : pairs) {
    if (pair === '') continue;
    const at = pair.indexOf(equals);
    const [name, value] = (at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + equals.length)]).map((part) => decode(part.replaceAll('+', ' ')));
    if (!(name in values)) values[name] = value;
    else values[name] = [values[name], value].flat();
  }
  return values;
}

module.exports = { stringify, parse, encode: stringify, decode: parse, escape, unescape };
