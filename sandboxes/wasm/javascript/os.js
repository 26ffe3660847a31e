// Node's `os`. What identifies the machine is observed.
'use strict';

const identity = (value) => () => { host.note('identity'); return value; };

module.exports = {
  EOL: '\n', devNull: '/dev/null', platform: () => 'linux', type: () => 'Linux', arch: () => 'wasm32', machine: () => 'wasm32', endianness: () => 'LE',
  tmpdir: () => '/tmp', homedir: () => '/home/user', hostname: identity('localhost'), release: identity('6.1.0'), version: identity('#1 SMP'), uptime: identity(0),
  loadavg: identity([0, 0, 0]), totalmem: identity(2 ** 30), freemem: identity(2 ** 29), cpus: identity([{ model: 'wasm', speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } }]),
  availableParallelism: identity(1), networkInterfaces: identity({}), getPriority: identity(0),
  userInfo: identity({ uid: 1000, gid: 1000, username: 'user', homedir: '/home/user', shell: '/bin/bash' }),
  constants: { signals: { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGKILL: 9, SIGTERM: 15 }, errno: {} },
};
