// Node's `perf_hooks`, and the global `performance`.
'use strict';

const entries = [];

class PerformanceEntry {
  constructor(name, entryType, startTime, duration, detail = null) { Object.assign(this, { name, entryType, startTime, duration, detail }); }
  toJSON() { return { ...this }; }
}

const timeOf = (mark) => (typeof mark === 'number' ? mark : entries.findLast((entry) => entry.name === mark)?.startTime ?? 0);

const performance = {
  now: () => host.monotonic(),
  get timeOrigin() { return host.began(); },
  mark(name, { startTime, detail } = {}) {
    const entry = new PerformanceEntry(`${name}`, 'mark', startTime ?? host.monotonic(), 0, detail);
    entries.push(entry);
    return entry;
  },
  measure(name, start, end) {
    if (typeof start === 'object' && start !== null) ({ start, end } = start);
    const from = start === undefined ? 0 : timeOf(start);
    const entry = new PerformanceEntry(`${name}`, 'measure', from, (end === undefined ? host.monotonic() : timeOf(end)) - from);
    entries.push(entry);
    return entry;
  },
  getEntries: () => [...entries],
  getEntriesByName: (name) => entries.filter((entry) => entry.name === name),
  getEntriesByType: (type) => entries.filter((entry) => entry.entryType === type),
  clearMarks(name) { for (let at = entries.length - 1; at >= 0; at--) if (entries[at].entryType === 'mark' && (name === undefined || entries[at].name === name)) entries.splice(at, 1); },
  clearMeasures(name) { for (let at = entries.length - 1; at >= 0; at--) if (entries[at].entryType === 'measure' && (name === undefined || entries[at].name === name)) entries.splice(at, 1); },
  timerify: (run) => run,
  eventLoopUtilization: () => ({ idle: 0, active: host.monotonic(), utilization: 1 }),
  toJSON: () => ({ timeOrigin: host.began() }),
};

module.exports = { performance, PerformanceEntry, constants: {}, PerformanceObserver: class { observe() {} disconnect() {} } };
