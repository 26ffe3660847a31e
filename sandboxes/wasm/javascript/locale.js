// What the language has for locales, in American English: the engine has no data for others.
'use strict';

const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];

const english = (locales) => locales === undefined || [locales].flat().every((name) => /^en(-US)?$/i.test(String(name)));
// Other locales, currencies and time zones are elsewhere.
function require_(locales, feature) {
  if (!english(locales)) host.need('language', `the locale ${[locales].flat()[0]}`);
  if (feature !== undefined) host.need('language', feature);
}

function group(digits) { return digits.replace(/\B(?=(\d{3})+(?!\d))/g, ','); }

function number(value, locales, options = {}) {
  const known = ['minimumFractionDigits', 'maximumFractionDigits', 'useGrouping', 'style', 'currency'];
  const odd = Object.keys(options).find((name) => !known.includes(name)) ?? (options.currency !== undefined && options.currency !== 'USD' ? 'currency' : options.style === 'unit' ? 'style' : undefined);
  require_(locales, odd && `the number format option ${odd}`);
  if (typeof value === 'number' && !Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '-∞';
  const money = options.style === 'currency', percent = options.style === 'percent';
  const least = options.minimumFractionDigits ?? (money ? 2 : 0);
  const most = Math.max(least, options.maximumFractionDigits ?? (money ? 2 : percent ? 0 : 3));
  const scaled = percent ? Number(value) * 100 : value;
  let text = typeof scaled === 'bigint' ? String(scaled) : Math.abs(scaled) >= 1e21 ? BigInt(scaled).toString() : rounded(scaled, Math.min(most, 100));
  const negative = text.startsWith('-');
  if (negative) text = text.slice(1);
  let [whole, fraction = ''] = text.split('.');
  while (fraction.length > least && fraction.endsWith('0')) fraction = fraction.slice(0, -1);
  if (typeof scaled === 'bigint') fraction = fraction.padEnd(least, '0');
  const digits = (options.useGrouping === false ? whole : group(whole)) + (fraction === '' ? '' : `.${fraction}`);
  return `${negative ? '-' : ''}${money ? '$' : ''}${digits}${percent ? '%' : ''}`;
}

// Halves are rounded away from zero by their decimal digits, as the shortest form of the number has them.
function rounded(value, places) {
  const [, sign, digits, exponent] = /^(-?)([0-9.]+)(?:e([+-]\d+))?$/.exec(String(value));
  let [whole, fraction = ''] = digits.split('.');
  const shift = Number(exponent ?? 0);
  if (shift > 0) { fraction = fraction.padEnd(shift, '0'); whole += fraction.slice(0, shift); fraction = fraction.slice(shift); }
  if (shift < 0) { whole = whole.padStart(1 - shift, '0'); fraction = whole.slice(shift) + fraction; whole = whole.slice(0, shift); }
  let kept = BigInt(whole + fraction.slice(0, places).padEnd(places, '0'));
  if (Number(fraction[places] ?? 0) >= 5) kept += 1n;
  const text = kept.toString().padStart(places + 1, '0');
  const out = places === 0 ? text : `${text.slice(0, -places)}.${text.slice(-places)}`;
  return Object.is(value, -0) || sign === '-' ? `-${out}` : out;
}

const two = (value) => String(value).padStart(2, '0');

function date(value, locales, options = {}, parts) {
  if (Number.isNaN(value.getTime())) return 'Invalid Date';
  const { timeZone, hour12 = true, hourCycle, timeZoneName, dateStyle, timeStyle, era, fractionalSecondDigits, dayPeriod, ...given } = options;
  require_(locales, timeZone !== undefined && !/^(utc|gmt|etc\/utc)$/i.test(timeZone) ? `the time zone ${timeZone}` : [hourCycle, timeZoneName, dateStyle, timeStyle, era, fractionalSecondDigits, dayPeriod].some((one) => one !== undefined) ? 'date formats' : undefined);
  const names = ['weekday', 'year', 'month', 'day', 'hour', 'minute', 'second'];
  let wanted = names.some((name) => given[name] !== undefined) ? given : {};
  const has = (list) => list.some((name) => wanted[name] !== undefined);
  if (parts !== 'time' && !has(names.slice(0, 4)) && (parts === 'date' || !has(names.slice(4)))) wanted = { ...wanted, year: 'numeric', month: 'numeric', day: 'numeric' };
  if (parts !== 'date' && !has(names.slice(4)) && (parts === 'time' || !names.some((name) => given[name] !== undefined))) wanted = { ...wanted, hour: 'numeric', minute: '2-digit', second: '2-digit' };
  const pick = (style, value) => (style === '2-digit' ? two(value % 100) : String(value));
  const weekday = wanted.weekday && (wanted.weekday === 'long' ? DAYS[value.getUTCDay()] : DAYS[value.getUTCDay()].slice(0, 3));
  const year = wanted.year && pick(wanted.year, value.getUTCFullYear());
  const day = wanted.day && pick(wanted.day, value.getUTCDate());
  let text;
  if (wanted.month === 'long' || wanted.month === 'short') {
    const month = wanted.month === 'long' ? MONTHS[value.getUTCMonth()] : MONTHS[value.getUTCMonth()].slice(0, 3);
    const first = [month, day].filter(Boolean).join(' ');
    text = [weekday, day ? [first, year].filter(Boolean).join(', ') : [first, year].filter(Boolean).join(' ')].filter(Boolean).join(', ');
  } else {
    const month = wanted.month && pick(wanted.month, value.getUTCMonth() + 1);
    text = [weekday, [month, day, year].filter(Boolean).join('/')].filter(Boolean).join(', ');
  }
  if (wanted.hour === undefined && wanted.minute === undefined && wanted.second === undefined) return text;
  const hours = value.getUTCHours();
  const hour = wanted.hour && (hour12 ? (wanted.hour === '2-digit' ? two(hours % 12 || 12) : String(hours % 12 || 12)) : two(hours));
  const clock = [hour, wanted.minute && (wanted.hour || wanted.second ? two(value.getUTCMinutes()) : String(value.getUTCMinutes())), wanted.second && (wanted.minute ? two(value.getUTCSeconds()) : String(value.getUTCSeconds()))].filter(Boolean).join(':');
  const time = hour && hour12 ? `${clock} ${hours < 12 ? 'AM' : 'PM'}` : clock;
  return text === '' ? time : `${text}${wanted.month === 'long' ? ' at' : ','} ${time}`;
}

function method(object, name, value) {
  Object.defineProperty(object, name, { value: { [name]: value }[name], writable: true, configurable: true, enumerable: false });
}

module.exports = function install() {
  method(Number.prototype, 'toLocaleString', function (locales, options) { return number(Number.prototype.valueOf.call(this), locales, options); });
  method(BigInt.prototype, 'toLocaleString', function (locales, options) { return number(BigInt.prototype.valueOf.call(this), locales, options); });
  method(Date.prototype, 'toLocaleString', function (locales, options) { return date(this, locales, options); });
  method(Date.prototype, 'toLocaleDateString', function (locales, options) { return date(this, locales, options, 'date'); });
  method(Date.prototype, 'toLocaleTimeString', function (locales, options) { return date(this, locales, options, 'time'); });
  method(String.prototype, 'localeCompare', function (other, locales, options) {
    require_(locales, options?.numeric || options?.ignorePunctuation ? 'the collation options of localeCompare' : undefined);
    const plain = (text) => text.normalize('NFD').replace(/[\u0300-\u036f]/g, '');
    const [a, b] = [String(this), String(other)];
    const [x, y] = [plain(a), plain(b)];
    const order = (left, right) => (left < right ? -1 : left > right ? 1 : 0);
    const folded = order(sortKey(x), sortKey(y));
    if (folded !== 0 || options?.sensitivity === 'base') return folded;
    const accents = order(a.normalize('NFD').replace(/[^\u0300-\u036f]/g, ''), b.normalize('NFD').replace(/[^\u0300-\u036f]/g, ''));
    // Of two that differ by case alone, the small letter comes first.
    return accents !== 0 || options?.sensitivity === 'accent' ? accents : order(y, x);
  });
  Object.defineProperty(globalThis, 'Intl', {
    configurable: true,
    enumerable: false,
    get() { host.need('language', 'Intl'); return undefined; },
    set(value) { Object.defineProperty(globalThis, 'Intl', { value, writable: true, configurable: true, enumerable: false }); },
  });
};

// Punctuation is before digits, and digits before letters.
function sortKey(text) {
  return Array.from(text.toLowerCase(), (char) => (/[\p{L}]/u.test(char) ? '2' : /[0-9]/.test(char) ? '1' : '0') + char).join('');
}
