// Promises about commands and terminals, with the JavaScript SDK.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Sandbox } from '@e2b/code-interpreter'
import { keepAll, rejects, waitUntil } from './promises.mjs'

const pids = async (sandbox) => (await sandbox.commands.list()).map((process) => process.pid)

await keepAll({
  'a command returns both streams and its exit code': async (sandbox) => {
    const done = await sandbox.commands.run('echo out; echo err >&2')
    assert.deepEqual([done.exitCode, done.stdout, done.stderr], [0, 'out\n', 'err\n'])
    const failed = await rejects('CommandExitError', sandbox.commands.run('echo before; echo why >&2; exit 7'))
    assert.deepEqual([failed.exitCode, failed.stdout, failed.stderr], [7, 'before\n', 'why\n'])
    assert.equal((await rejects('CommandExitError', sandbox.commands.run('no-such-program'))).exitCode, 127)
  },

  'output is passed to callbacks while the command runs': async (sandbox) => {
    const seen = []
    const command = 'echo ready; until [ -e /tmp/go ]; do sleep 0.02; done; echo warned >&2; sleep 0.1; echo done'
    const done = await sandbox.commands.run(command, {
      onStderr: (text) => void seen.push(['stderr', text]),
      onStdout: async (text) => {
        seen.push(['stdout', text])
        if (text.includes('ready')) await sandbox.files.write('/tmp/go', '')
      },
    })
    assert.deepEqual(seen, [['stdout', 'ready\n'], ['stderr', 'warned\n'], ['stdout', 'done\n']])
    assert.equal(done.stdout, 'ready\ndone\n')
  },

  'a command in the background is listed, fed, connected to and killed': async (sandbox) => {
    const first = await sandbox.commands.run('tr a-z A-Z; exit 5', { background: true, stdin: true, cwd: '/tmp' })
    const listed = (await sandbox.commands.list()).find((process) => process.pid === first.pid)
    assert.deepEqual([listed.cmd, listed.cwd], ['/bin/bash', '/tmp'])
    const other = await Sandbox.connect(sandbox.sandboxId)
    const second = await other.commands.connect(first.pid)
    await first.sendStdin('one ')
    await other.commands.sendStdin(first.pid, 'two')
    await other.commands.closeStdin(first.pid)
    for (const handle of [first, second]) {
      const ended = await rejects('CommandExitError', handle.wait())
      assert.deepEqual([ended.exitCode, ended.stdout], [5, 'ONE TWO'])
    }
    const endless = await sandbox.commands.run('sleep 600', { background: true })
    await endless.disconnect()
    assert((await pids(sandbox)).includes(endless.pid), 'it outlives its stream')
    assert.equal(await sandbox.commands.kill(endless.pid), true)
    await waitUntil(async () => !(await pids(sandbox)).includes(endless.pid))
    assert.equal(await sandbox.commands.kill(endless.pid), false)
    await rejects('NotFoundError', sandbox.commands.connect(999_999))
  },

  'a command has the variables, the folder and the user that are asked for': [
    { envs: { OF: 'the sandbox', BOTH: 'the sandbox' } },
    async (sandbox) => {
      const shown = 'echo $OF, $BOTH, $OWN; pwd; id -un'
      const envs = { BOTH: 'the command', OWN: 'ż "$HOME"' }
      const done = await sandbox.commands.run(shown, { envs, cwd: '/usr/lib', user: 'root' })
      assert.equal(done.stdout, 'the sandbox, the command, ż "$HOME"\n/usr/lib\nroot\n')
      const plain = await sandbox.commands.run(shown)
      assert.equal(plain.stdout, 'the sandbox, the sandbox,\n/home/user\nuser\n')
    },
  ],

  'a command past its time limit is ended and one without a limit is not': async (sandbox) => {
    await rejects('TimeoutError', sandbox.commands.run('echo $$ > /tmp/pid; exec sleep 600', { timeoutMs: 1000 }))
    const pid = (await sandbox.files.read('/tmp/pid')).trim()
    await waitUntil(async () => !(await sandbox.files.exists(`/proc/${pid}`)))
    const done = await sandbox.commands.run('sleep 1.2; echo ended', { timeoutMs: 0 })
    assert.equal(done.stdout, 'ended\n')
  },

  'long output, text of any script and long input arrive whole': async (sandbox) => {
    const snakes = await sandbox.commands.run(`python3 -c 'print("🐍żółć" * 200_000, end="")'`)
    assert(snakes.stdout === '🐍żółć'.repeat(200_000))
    const both = await sandbox.commands.run('seq 200000; seq 200000 >&2')
    const lines = Array.from({ length: 200_000 }, (_, n) => `${n + 1}\n`).join('')
    assert(both.stdout === lines && both.stderr === lines)
    const data = 'żółć'.repeat(100_000)
    const digest = await sandbox.commands.run('sha256sum', { background: true, stdin: true })
    await digest.sendStdin(data)
    await digest.closeStdin()
    assert.equal((await digest.wait()).stdout.split(' ')[0], createHash('sha256').update(data).digest('hex'))
  },

  'commands run side by side': async (sandbox) => {
    const meet = 'touch /tmp/m$N; until [ $(ls /tmp/m* | wc -l) = 6 ]; do sleep 0.02; done; echo $N'
    const done = await Promise.all(
      [...Array(6).keys()].map((n) => sandbox.commands.run(meet, { envs: { N: String(n) } })),
    )
    assert.deepEqual(done.map(({ stdout }) => stdout), ['0\n', '1\n', '2\n', '3\n', '4\n', '5\n'])
  },

  'a terminal has a size, passes keys on, is connected to again and killed': [
    { envs: { OF: 'the-sandbox' } },
    async (sandbox) => {
      let printed = ''
      const onData = (data) => void (printed += Buffer.from(data).toString())
      const size = { rows: 24, cols: 80 }
      const terminal = await sandbox.pty.create({ ...size, onData, cwd: '/usr', envs: { OWN: 'mine' }, timeoutMs: 0 })
      const type = (text) => sandbox.pty.sendInput(terminal.pid, Buffer.from(text))
      const readUntil = async (text) => {
        await waitUntil(() => printed.includes(text))
        printed = printed.slice(printed.indexOf(text) + text.length)
      }
      await type('echo $(stty size) $PWD $OF $OWN $TERM END\n')
      await readUntil('24 80 /usr the-sandbox mine xterm-256color END\r\n')
      await sandbox.pty.resize(terminal.pid, { rows: 50, cols: 132 })
      await type('stty size\n')
      await readUntil('50 132\r\n')
      // A signal before the command has the terminal would end nothing.
      await type('sh -c "echo reads; exec cat"; echo status $?\n')
      await readUntil('reads\r\n')
      await type('\x03')
      await terminal.disconnect()
      const again = await sandbox.pty.connect(terminal.pid, { onData, timeoutMs: 0 })
      await type('echo $((6 * 7)) again\n')
      await readUntil('42 again\r\n')
      assert.equal(await sandbox.pty.kill(terminal.pid), true)
      await rejects('CommandExitError', again.wait())
      assert.equal(await sandbox.pty.kill(terminal.pid), false)
      await rejects('NotFoundError', sandbox.pty.connect(999_999, { onData }))
    },
  ],
})
