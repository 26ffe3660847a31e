// Values as text, as Node's `util.inspect` and `util.format` show them.
'use strict';

const custom = Symbol.for('nodejs.util.inspect.custom');
const defaults = {
  showHidden: false, depth: 2, colors: false, customInspect: true, showProxy: false, maxArrayLength: 100,
  maxStringLength: 10000, breakLength: 80, compact: 3, sorted: false, getters: false, numericSeparator: false,
};
const identifier = /^[a-zA-Z_][a-zA-Z_0-9]*$/;
const TypedArray = Object.getPrototypeOf(Uint8Array);
const tagOf = (value) => Object.prototype.toString.call(value).slice(8, -1);
const own = (object, key) => Object.prototype.hasOwnProperty.call(object, key);
// The text of an error is built once per value that is shown, so a large graph is cut by its output instead of its depth.
const MAX_OUTPUT = 1 << 22;

function quote(text) {
  let mark = "'";
  if (text.includes("'")) mark = !text.includes('"') ? '"' : !text.includes('`') && !text.includes('${') ? '`' : "'";
  let out = mark;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const char = text[at];
    if (char === mark || char === '\\') out += '\\' + char;
    else if (code === 10) out += '\\n';
    else if (code === 9) out += '\\t';
    else if (code === 13) out += '\\r';
    else if (code === 8) out += '\\b';
    else if (code === 12) out += '\\f';
    else if (code === 11) out += '\\v';
    else if (code < 32 || (code >= 127 && code < 160)) out += '\\x' + code.toString(16).toUpperCase().padStart(2, '0');
    else if (code >= 0xd800 && code <= 0xdfff) {
      const next = text.charCodeAt(at + 1);
      if (code < 0xdc00 && next >= 0xdc00 && next <= 0xdfff) { out += char + text[at + 1]; at++; }
      else out += '\\u' + code.toString(16).toUpperCase();
    } else out += char;
  }
  return out + mark;
}

function number(value) {
  return Object.is(value, -0) ? '-0' : String(value);
}

function primitive(value, ctx) {
  switch (typeof value) {
    case 'string': {
      let text = value, tail = '';
      if (text.length > ctx.maxStringLength) {
        const rest = text.length - ctx.maxStringLength;
        text = text.slice(0, ctx.maxStringLength);
        tail = `... ${rest} more character${rest > 1 ? 's' : ''}`;
      }
      if (ctx.compact !== true && text.length > 16 && text.length > ctx.breakLength - ctx.indentation - 4 && text.includes('\n')) {
        const lines = text.split(/(?<=\n)/);
        return lines.map(quote).join(` +\n${' '.repeat(ctx.indentation + 2)}`) + tail;
      }
      return quote(text) + tail;
    }
    case 'number': return number(value);
    case 'bigint': return `${value}n`;
    case 'symbol': return value.toString();
    default: return String(value);
  }
}

function constructorName(object) {
  let first = object;
  while (object) {
    const descriptor = Object.getOwnPropertyDescriptor(object, 'constructor');
    if (descriptor !== undefined && typeof descriptor.value === 'function' && descriptor.value.name !== ''
      && isInstance(first, descriptor.value)) {
      return descriptor.value.name;
    }
    object = Object.getPrototypeOf(object);
  }
  return null;
}

function isInstance(object, constructor) {
  try { return object instanceof constructor; } catch { return false; }
}

function key(name, ctx) {
  if (typeof name === 'symbol') return `[${name.toString()}]`;
  if (name === '__proto__') return "['__proto__']";
  return identifier.test(name) ? name : quote(name);
}

function property(object, name, ctx, depth, isArrayEntry) {
  const descriptor = Object.getOwnPropertyDescriptor(object, name) ?? { value: object[name], enumerable: true };
  let text, space = ' ';
  if ('value' in descriptor) {
    ctx.indentation += 2;
    text = format(descriptor.value, ctx, depth);
    ctx.indentation -= 2;
  } else if (descriptor.get !== undefined) {
    text = descriptor.set !== undefined ? '[Getter/Setter]' : '[Getter]';
    if (ctx.getters) {
      try { text = `[Getter: ${format(descriptor.get.call(object), ctx, depth)}]`; }
      catch (error) { text = `[Getter: <Inspection threw (${error.message})>]`; }
    }
  } else text = descriptor.set !== undefined ? '[Setter]' : 'undefined';
  if (isArrayEntry) return text;
  const shown = descriptor.enumerable === false
    ? typeof name === 'symbol' ? `[${name.toString()}]` : `[${name}]`
    : key(name, ctx);
  return `${shown}:${space}${text}`;
}

function keysOf(object, ctx) {
  const symbols = Object.getOwnPropertySymbols(object);
  if (ctx.showHidden) return [...Object.getOwnPropertyNames(object), ...symbols];
  let names;
  try { names = Object.keys(object); } catch { names = Object.getOwnPropertyNames(object); }
  return [...names, ...symbols.filter((symbol) => Object.prototype.propertyIsEnumerable.call(object, symbol))];
}

const isIndex = (name) => typeof name === 'string' && /^(0|[1-9][0-9]{0,9})$/.test(name) && Number(name) < 4294967295;

function prefix(name, tag, fallback, size = '') {
  if (name === null) {
    return tag !== '' && fallback !== tag ? `[${fallback}${size}: null prototype] [${tag}] ` : `[${fallback}${size}: null prototype] `;
  }
  return tag !== '' && name !== tag ? `${name}${size} [${tag}] ` : `${name}${size} `;
}

function functionBase(value, name, tag) {
  const source = Function.prototype.toString.call(value);
  if (source.startsWith('class') && source.endsWith('}')) {
    let base = own(value, 'name') && value.name !== '' ? `[class ${value.name}` : '[class (anonymous)';
    if (name !== 'Function' && name !== null) base += ` [${name}]`;
    const parent = Object.getPrototypeOf(value);
    if (parent && parent.name) base += ` extends ${parent.name}`;
    else if (parent === null) base += ' extends null';
    return `${base}]`;
  }
  const kind = tagOf(value);
  let base = `[${['AsyncFunction', 'GeneratorFunction', 'AsyncGeneratorFunction'].includes(kind) ? kind : 'Function'}`;
  if (name === null) base += ' (null prototype)';
  base += value.name === '' || typeof value.name !== 'string' ? ' (anonymous)' : `: ${value.name}`;
  return `${base}]`;
}

function errorBase(error, name, ctx, keys) {
  let stack = typeof error.stack === 'string' && error.stack !== '' ? error.stack : Error.prototype.toString.call(error);
  const shown = own(error, 'name') || typeof error.name === 'string' ? String(error.name) : 'Error';
  for (const hidden of ['name', 'message', 'stack']) {
    const at = keys.indexOf(hidden);
    if (at >= 0 && (hidden === 'stack' || stack.includes(String(error[hidden])))) keys.splice(at, 1);
  }
  if ('cause' in error && own(error, 'cause') && !keys.includes('cause')) keys.push('cause');
  if (Array.isArray(error.errors) && own(error, 'errors') && !keys.includes('errors')) keys.push('errors');
  // The text was captured when the error was made; a name that was set later is shown all the same.
  if (own(error, 'name')) {
    const at = stack.indexOf('\n    at');
    const now = Error.prototype.toString.call(error);
    if (at > 0 && !stack.startsWith(now) && !stack.slice(0, at).includes('[')) stack = now + stack.slice(at);
  }
  // A class that extends Error without a name of its own is shown by the name of the class.
  const head = stack.match(/^([A-Z][a-zA-Z_0-9[\] ()-]*)(?=:|\n|$)/);
  if (head !== null && name !== null && name !== 'Error' && !head[1].includes(name)) {
    const start = stack.startsWith(shown) ? shown : head[1];
    if (name.includes(start) && start !== '') {
      stack = (start === '' ? `${name}: ` : own(error, 'name') ? name : name.endsWith('Error') && name !== start ? name : `${name} [${start}]`) + stack.slice(start.length);
    } else if (!own(error, 'name')) stack = `${name} [${start}]${stack.slice(start.length)}`;
  }
  const frames = stack.indexOf('\n    at');
  if (frames === -1) stack = `[${stack}]`;
  if (ctx.indentation !== 0) stack = stack.replaceAll('\n', `\n${' '.repeat(ctx.indentation)}`);
  return stack;
}

function typedName(value) {
  return value[Symbol.toStringTag];
}

function formatBytes(bytes) {
  const shown = Math.min(50, bytes.length);
  let text = '';
  for (let at = 0; at < shown; at++) text += (at > 0 ? ' ' : '') + bytes[at].toString(16).padStart(2, '0');
  const rest = bytes.length - shown;
  return rest > 0 ? `${text} ... ${rest} more byte${rest > 1 ? 's' : ''}` : text;
}

function more(output, rest) {
  if (rest > 0) output.push(`... ${rest} more item${rest > 1 ? 's' : ''}`);
  return output;
}

function arrayEntries(value, ctx, depth) {
  const output = [];
  const length = value.length;
  const limit = Math.min(Math.max(0, ctx.maxArrayLength), length);
  let at = 0, shown = 0;
  while (at < length && shown < limit) {
    if (!own(value, at)) {
      let end = at;
      // Sparse arrays may be long: the next index that exists ends the hole.
      if (length - at > 10000) {
        const next = Object.keys(value).find((name) => isIndex(name) && Number(name) > at);
        end = next === undefined ? length : Number(next);
      } else while (end < length && !own(value, end)) end++;
      const count = end - at;
      output.push(`<${count} empty item${count > 1 ? 's' : ''}>`);
      at = end;
    } else output.push(property(value, at++, ctx, depth + 1, true));
    shown++;
  }
  return more(output, length - at);
}

function format(value, ctx, depth) {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return primitive(value, ctx);
  const proxied = host.proxyTarget(value);
  if (proxied !== undefined) {
    if (ctx.showProxy) return `Proxy [ ${format(proxied, ctx, depth)} ]`;
    value = proxied === null ? {} : proxied;
    if (host.proxyTarget(value) !== undefined) return format(value, ctx, depth);
  }
  if (ctx.customInspect) {
    const own = value[custom];
    if (typeof own === 'function' && own !== module.exports.inspect && !(value.constructor && value.constructor.prototype === value)) {
      const left = ctx.depth === null ? Infinity : ctx.depth - depth;
      const { indentation, seen, circular, size, budget, ...options } = ctx;
      const shown = own.call(value, left, { ...options, depth: left, stylize: String }, module.exports.inspect);
      if (shown !== value) {
        return typeof shown === 'object' && shown !== null || typeof shown !== 'string'
          ? format(shown, ctx, depth)
          : shown.replaceAll('\n', `\n${' '.repeat(ctx.indentation)}`);
      }
    }
  }
  if (ctx.seen.includes(value)) {
    let index = ctx.circular.get(value);
    if (index === undefined) { index = ctx.circular.size + 1; ctx.circular.set(value, index); }
    return `[Circular *${index}]`;
  }
  return formatObject(value, ctx, depth);
}

function formatObject(value, ctx, depth) {
  const name = constructorName(value);
  let tag = '';
  try { if (typeof value[Symbol.toStringTag] === 'string' && value[Symbol.toStringTag] !== '') tag = value[Symbol.toStringTag]; } catch {}
  if (tag !== '' && tag === name) tag = '';
  let keys = keysOf(value, ctx);
  let base = '', braces = ['{', '}'], entries = null, isList = false;
  if (Array.isArray(value)) {
    keys = keys.filter((key) => !isIndex(key) && !(ctx.showHidden && key === 'length'));
    if (ctx.showHidden) keys.push('length');
    const head = name !== 'Array' || tag !== '' ? prefix(name, tag, 'Array', `(${value.length})`) : '';
    braces = [`${head}[`, ']'];
    if (value.length === 0 && keys.length === 0) return `${braces[0]}]`;
    entries = () => arrayEntries(value, ctx, depth);
    isList = true;
  } else if (host.isSet(value)) {
    const size = Set.prototype.values.call(value);
    const items = [...size];
    braces = [`${prefix(name, tag, 'Set', `(${items.length})`)}{`, '}'];
    if (items.length === 0 && keys.length === 0) return `${braces[0]}}`;
    entries = () => {
      ctx.indentation += 2;
      const output = items.slice(0, ctx.maxArrayLength).map((item) => format(item, ctx, depth + 1));
      ctx.indentation -= 2;
      return more(output, items.length - output.length);
    };
  } else if (host.isMap(value)) {
    const items = [...Map.prototype.entries.call(value)];
    braces = [`${prefix(name, tag, 'Map', `(${items.length})`)}{`, '}'];
    if (items.length === 0 && keys.length === 0) return `${braces[0]}}`;
    entries = () => {
      ctx.indentation += 2;
      const output = items.slice(0, ctx.maxArrayLength).map(([k, v]) => `${format(k, ctx, depth + 1)} => ${format(v, ctx, depth + 1)}`);
      ctx.indentation -= 2;
      return more(output, items.length - output.length);
    };
  } else if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    keys = keys.filter((key) => !isIndex(key));
    const kind = typedName(value);
    braces = [`${prefix(name, name === kind ? '' : tag, kind, `(${value.length})`)}[`, ']'];
    if (value.length === 0 && keys.length === 0) return `${braces[0]}]`;
    entries = () => {
      const output = [];
      for (let at = 0; at < Math.min(value.length, ctx.maxArrayLength); at++) output.push(primitive(value[at], ctx));
      return more(output, value.length - output.length);
    };
    isList = true;
  } else if (tagOf(value) === 'Map Iterator' || tagOf(value) === 'Set Iterator') {
    braces = [`[${tag}] {`, '}'];
    return `Object [${tag}] {}`;
  } else if (typeof value === 'function') {
    base = functionBase(value, name, tag);
    if (keys.length === 0) return base;
  } else if (tagOf(value) === 'Arguments') {
    braces = ['[Arguments] {', '}'];
    if (keys.length === 0) return '[Arguments] {}';
  } else if (value instanceof RegExp) {
    base = RegExp.prototype.toString.call(value);
    if (name !== 'RegExp') base = `${prefix(name, tag, 'RegExp')}${base}`;
    if (keys.length === 0) return base;
  } else if (host.isDate(value)) {
    const time = Date.prototype.getTime.call(value);
    base = Number.isNaN(time) ? 'Invalid Date' : Date.prototype.toISOString.call(value);
    if (name !== 'Date') base = `${prefix(name, tag, 'Date')}${base}`;
    if (keys.length === 0) return base;
  } else if (host.isError(value)) {
    base = errorBase(value, name, ctx, keys);
    if (keys.length === 0) return base;
  } else if (value instanceof ArrayBuffer) {
    const bytes = new Uint8Array(value);
    entries = () => [`[Uint8Contents]: <${formatBytes(bytes)}>`, `byteLength: ${bytes.length}`];
    braces = [`${prefix(name, tag, 'ArrayBuffer')}{`, '}'];
  } else if (value instanceof DataView) {
    braces = [`${prefix(name, tag, 'DataView')}{`, '}'];
    keys = ['byteLength', 'byteOffset', 'buffer', ...keys];
  } else if (host.promiseState(value) >= 0) {
    const state = host.promiseState(value);
    braces = [`${prefix(name, tag, 'Promise')}{`, '}'];
    entries = () => {
      if (state === 0) return ['<pending>'];
      ctx.indentation += 2;
      const text = format(host.promiseResult(value), ctx, depth + 1);
      ctx.indentation -= 2;
      return [state === 2 ? `<rejected> ${text}` : text];
    };
  } else if (value instanceof WeakSet || value instanceof WeakMap) {
    braces = [`${prefix(name, tag, 'WeakMap')}{`, '}'];
    entries = () => ['<items unknown>'];
  } else if (tagOf(value) === 'Module') {
    braces = ['[Module: null prototype] {', '}'];
  } else {
    const boxed = boxedValue(value);
    if (boxed !== undefined) {
      const kind = boxed[0];
      base = `[${kind}${name !== kind ? name === null ? ' (null prototype)' : ` (${name})` : ''}: ${primitive(boxed[1], { ...ctx, indentation: 0, compact: true })}]`;
      if (kind === 'String') keys = keys.filter((key) => !isIndex(key));
      if (keys.length === 0) return base;
    } else {
      const plain = name === 'Object' && tag === '';
      braces = [plain ? '{' : `${prefix(name, tag, 'Object')}{`, '}'];
      if (keys.length === 0) return `${braces[0]}}`;
    }
  }
  if (ctx.depth !== null && depth > ctx.depth) {
    const shown = Array.isArray(value) ? 'Array' : prefix(name, tag, 'Object').trim();
    return `[${name === null && !Array.isArray(value) ? shown : Array.isArray(value) ? name ?? 'Array' : shown}]`;
  }
  ctx.seen.push(value);
  ctx.level = depth;
  let output = entries === null ? [] : entries();
  for (const name of keys) {
    if (ctx.budget <= 0) { output.push('...'); break; }
    output.push(property(value, name, ctx, depth + 1, false));
  }
  ctx.seen.pop();
  let start = base;
  const index = ctx.circular.get(value);
  if (index !== undefined) {
    if (base === '') braces[0] = `<ref *${index}> ${braces[0]}`;
    else start = `<ref *${index}> ${base}`;
  }
  const text = reduce(ctx, output, start, braces, isList, depth, value);
  ctx.budget -= text.length;
  return text;
}

function boxedValue(value) {
  for (const [kind, type] of [['Number', Number], ['String', String], ['Boolean', Boolean], ['BigInt', BigInt], ['Symbol', Symbol]]) {
    if (value instanceof type) {
      try { return [kind, type.prototype.valueOf.call(value)]; } catch { return undefined; }
    }
  }
  return undefined;
}

function reduce(ctx, output, base, braces, isList, depth, value) {
  if (ctx.compact === true || ctx.compact === false) {
    if (ctx.compact === false) {
      const gap = `\n${' '.repeat(ctx.indentation)}`;
      return `${base === '' ? '' : `${base} `}${braces[0]}${gap}  ${output.join(`,${gap}  `)}${gap}${braces[1]}`;
    }
    return `${base === '' ? '' : `${base} `}${braces[0]} ${output.join(', ')} ${braces[1]}`;
  }
  const count = output.length;
  if (isList && count > 6) output = group(ctx, output, value);
  // As many inner levels as `compact` go on one line where they fit.
  if (ctx.level - depth < ctx.compact && count === output.length) {
    const start = output.length + ctx.indentation + braces[0].length + base.length + 10;
    const total = output.reduce((sum, text) => sum + text.length, output.length + start);
    if (total <= ctx.breakLength && !base.includes('\n')) {
      const joined = output.join(', ');
      if (!joined.includes('\n')) return `${base === '' ? '' : `${base} `}${braces[0]} ${joined} ${braces[1]}`;
    }
  }
  const gap = `\n${' '.repeat(ctx.indentation)}`;
  return `${base === '' ? '' : `${base} `}${braces[0]}${gap}  ${output.join(`,${gap}  `)}${gap}${braces[1]}`;
}

// Short entries of a long list are shown in columns.
function group(ctx, output, value) {
  const extra = ctx.maxArrayLength < value.length ? 1 : 0;
  const count = output.length - extra;
  const lengths = output.slice(0, count).map((text) => text.length + 2);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const longest = Math.max(...lengths);
  if (longest * 3 + ctx.indentation >= ctx.breakLength || !(total / longest > 5 || longest <= 8)) return output;
  const bias = Math.sqrt(longest - total / output.length);
  const width = Math.max(longest - 3 - bias, 1);
  const columns = Math.min(
    Math.round(Math.sqrt(2.5 * width * count) / width),
    Math.floor((ctx.breakLength - ctx.indentation) / longest),
    ctx.compact * 4,
    15,
  );
  if (columns <= 1) return output;
  const widths = [];
  for (let column = 0; column < columns; column++) {
    let width = 0;
    for (let at = column; at < count; at += columns) width = Math.max(width, lengths[at]);
    widths.push(width);
  }
  const padStart = value !== undefined && output.slice(0, count).every((_, at) => typeof value[at] === 'number' || typeof value[at] === 'bigint');
  const rows = [];
  for (let at = 0; at < count; at += columns) {
    const end = Math.min(at + columns, count);
    let row = '';
    for (let cell = at; cell < end - 1; cell++) {
      const text = `${output[cell]}, `;
      row += padStart ? text.padStart(widths[cell - at]) : text.padEnd(widths[cell - at]);
    }
    row += padStart ? output[end - 1].padStart(widths[end - 1 - at] - 2) : output[end - 1];
    rows.push(row);
  }
  if (extra) rows.push(output[count]);
  return rows;
}

function inspect(value, options, depth, colors) {
  const given = typeof options === 'object' && options !== null ? options : {};
  const ctx = { ...defaults, ...given, indentation: 0, seen: [], circular: new Map(), level: 0, budget: MAX_OUTPUT };
  if (typeof options === 'boolean') ctx.showHidden = options;
  if (typeof depth === 'number' || depth === null) ctx.depth = depth;
  if (ctx.depth === Infinity || ctx.depth === undefined) ctx.depth = ctx.depth === undefined ? 2 : null;
  for (const limit of ['maxArrayLength', 'maxStringLength']) if (ctx[limit] === null) ctx[limit] = Infinity;
  return format(value, ctx, 0);
}
inspect.custom = custom;
inspect.defaultOptions = defaults;

function formatWithOptions(options, ...values) {
  const first = values[0];
  let at = 0, out = '';
  if (typeof first === 'string') {
    if (values.length === 1) return first;
    at = 1;
    let last = 0;
    for (let i = 0; i < first.length - 1; i++) {
      if (first[i] !== '%') continue;
      const kind = first[i + 1];
      if (kind !== '%' && at >= values.length) { if ('sdifjoOc'.includes(kind)) i++; continue; }
      let text;
      switch (kind) {
        case 's': {
          const value = values[at++];
          if (typeof value === 'number') text = number(value);
          else if (typeof value === 'bigint') text = `${value}n`;
          else if (typeof value !== 'object' || value === null || hasOwnToString(value)) text = String(value);
          else text = inspect(value, { ...options, depth: 0, colors: false, compact: 3 });
          break;
        }
        case 'd': {
          const value = values[at++];
          text = typeof value === 'bigint' ? `${value}n` : typeof value === 'symbol' ? 'NaN' : number(Number(value));
          break;
        }
        case 'i': {
          const value = values[at++];
          text = typeof value === 'bigint' ? `${value}n` : typeof value === 'symbol' ? 'NaN' : number(parseInt(value));
          break;
        }
        case 'f': {
          const value = values[at++];
          text = typeof value === 'symbol' ? 'NaN' : number(parseFloat(value));
          break;
        }
        case 'j':
          try { text = JSON.stringify(values[at++]); } catch { text = '[Circular]'; }
          text = String(text);
          break;
        case 'o': text = inspect(values[at++], { ...options, showHidden: true, showProxy: true, depth: 4 }); break;
        case 'O': text = inspect(values[at++], options); break;
        case 'c': at++; text = ''; break;
        case '%': text = '%'; break;
        default: continue;
      }
      out += first.slice(last, i) + text;
      i++;
      last = i + 1;
    }
    out += first.slice(last);
  }
  const parts = at === 0 ? [] : [out];
  for (; at < values.length; at++) parts.push(typeof values[at] === 'string' ? values[at] : inspect(values[at], options));
  return parts.join(' ');
}

function hasOwnToString(value) {
  if (host.isError(value) || host.isDate(value)) return typeof value.toString === 'function' && !host.isDate(value) && !own(value, 'stack');
  const text = value.toString;
  if (typeof text !== 'function') return false;
  if (own(value, 'toString')) return true;
  for (let object = Object.getPrototypeOf(value); object !== null; object = Object.getPrototypeOf(object)) {
    if (own(object, 'toString')) {
      const maker = object.constructor;
      return typeof maker === 'function' && !builtins.has(maker);
    }
  }
  return false;
}
const builtins = new Set([Object, Array, Function, Map, Set, Date, RegExp, Error, Promise, Boolean, Number, String, TypedArray, Uint8Array]);

module.exports = { inspect, format: (...values) => formatWithOptions(undefined, ...values), formatWithOptions, quote, formatBytes };
