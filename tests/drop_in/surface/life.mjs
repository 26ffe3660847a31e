// Promises about sandboxes, their ports, contexts and languages, with the JavaScript SDK.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Sandbox } from '@e2b/code-interpreter'
import { ask, byHeaders, byHost, keepAll, rejects, waitUntil, webSocket } from './promises.mjs'

const PROGRAM = readFileSync(new URL('server.py', import.meta.url), 'utf8')
const out = ({ logs }) => logs.stdout.join('')

/** Starts the program server.py in a sandbox and waits until it answers from outside. */
async function serve(sandbox, port) {
  await sandbox.files.write('/srv/server.py', PROGRAM)
  await sandbox.commands.run(`exec python3 /srv/server.py ${port}`, { background: true, timeoutMs: 0 })
  await waitUntil(async () => (await ask(byHeaders(sandbox, port), sandbox.trafficAccessToken)).status === 200)
}

await keepAll({
  'a server in a sandbox is reached from outside by HTTP and WebSocket': async (sandbox) => {
    await serve(sandbox, 8000)
    const token = sandbox.trafficAccessToken
    assert(sandbox.getHost(8000).startsWith(`8000-${sandbox.sandboxId}.`))
    for (const address of [byHost, byHeaders]) {
      const to = address(sandbox, 8000)
      const answer = await ask(to, token, { method: 'POST', path: '/a%20b?q=1', body: 'żółć' })
      const seen = JSON.parse(answer.text)
      assert.deepEqual([answer.status, seen.method, seen.path, seen.body], [201, 'POST', '/a%20b?q=1', 'żółć'])
      assert.equal((await ask(to)).status, 401)
      assert.equal((await ask(address(sandbox, 8001), token)).status, 502)
      const socket = await webSocket(to, token)
      assert.deepEqual([socket.status, socket.headers['sec-websocket-accept']], [101, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='])
      for (const text of ['one', 'żółć']) {
        socket.send(text)
        assert.deepEqual(await socket.receive(), { kind: 1, text })
      }
      socket.close()
      assert.equal((await webSocket(to, 'wrong')).status, 401)
    }
  },

  'git keeps a repository and exchanges commits with another one': async ({ git, files, commands }) => {
    const repo = '/home/user/repo'
    await git.configureUser('Ada', 'ada@example.org')
    await git.init(repo, { initialBranch: 'main' })
    await files.write(`${repo}/a.txt`, '1\n')
    await git.add(repo)
    assert.equal((await git.status(repo)).hasStaged, true)
    await git.commit(repo, 'first')
    await git.createBranch(repo, 'feature')
    assert.equal((await git.branches(repo)).currentBranch, 'feature')
    await git.checkoutBranch(repo, 'main')
    await commands.run('git init --bare -q -b main /home/user/shared.git')
    await git.remoteAdd(repo, 'origin', '/home/user/shared.git')
    await git.push(repo, { remote: 'origin', branch: 'main' })
    await git.clone('/home/user/shared.git', { path: '/home/user/clone' })
    assert.equal(await files.read('clone/a.txt'), '1\n')
    assert.equal((await commands.run('git log --format=%s-%an', { cwd: 'clone' })).stdout, 'first-Ada\n')
  },

  'each language keeps its variables in contexts of their own': [
    { envs: { OF: 'the sandbox' } },
    async (sandbox) => {
      const given = (await sandbox.listCodeContexts()).map(({ language }) => language)
      assert.deepEqual(given, ['python', 'javascript'])
      for (const [language, assign, show] of [
        ['python', "x = 'kept'", "import os\nprint(x, os.environ['OF'])"],
        ['javascript', "x = 'kept'", 'console.log(x, process.env.OF)'],
        ['typescript', "var x: string = 'kept'", 'console.log(x as string, process.env.OF)'],
        ['bash', 'x=kept', 'echo $x $OF'],
      ]) {
        const context = await sandbox.createCodeContext({ language, cwd: '/tmp' })
        const other = await sandbox.createCodeContext({ language })
        await sandbox.runCode(assign, { context })
        assert.equal(out(await sandbox.runCode(show, { context })), 'kept the sandbox\n', language)
        assert(!out(await sandbox.runCode(show, { context: other })).includes('kept'), language)
        const ids = (await sandbox.listCodeContexts()).map(({ id }) => id)
        assert(ids.includes(context.id) && ids.includes(other.id))
        await sandbox.restartCodeContext(context)
        assert(!out(await sandbox.runCode(show, { context })).includes('kept'), language)
        await sandbox.removeCodeContext(context)
        await rejects('NotFoundError', sandbox.runCode('1', { context }))
      }
      for (const language of ['r', 'java']) {
        const { error } = await sandbox.runCode('1', { language })
        assert(error.value.includes('set E2B_API_KEY'), error.value)
      }
    },
  ],

  'cells report results, output and errors while they run': async (sandbox) => {
    const seen = []
    const code = "console.log('ready'); const fs = require('fs')\n" +
      "while (!fs.existsSync('/tmp/go')) await new Promise((go) => setTimeout(go, 20))\n6 * 7"
    const ran = await sandbox.runCode(code, {
      language: 'js',
      onStdout: async ({ line }) => {
        seen.push(line)
        await sandbox.files.write('/tmp/go', '')
      },
      onResult: (result) => void seen.push(result.text),
    })
    assert.deepEqual([seen, ran.text], [['ready\n', '42'], '42'])
    const failed = await sandbox.runCode('null.nothing', { language: 'js' })
    assert.equal(failed.error.name, 'TypeError')
    await sandbox.runCode('import time; kept = 1')
    await rejects('TimeoutError', sandbox.runCode('time.sleep(600)', { timeoutMs: 1000 }))
    assert.equal((await sandbox.runCode('kept')).text, '1')
  },

  'a paused sandbox keeps variables, files and processes': async (sandbox) => {
    const process = await sandbox.commands.run('sleep 600', { background: true, timeoutMs: 0 })
    await sandbox.runCode('let kept = process.pid', { language: 'js' })
    await sandbox.files.write('/srv/kept', 'file')
    await process.disconnect()
    assert.equal(await sandbox.pause(), true)
    assert.equal(await sandbox.isRunning(), false)
    assert.equal((await sandbox.getInfo()).state, 'paused')
    const again = await Sandbox.connect(sandbox.sandboxId)
    assert.equal((await again.getInfo()).state, 'running')
    assert.equal((await again.runCode('kept === process.pid', { language: 'js' })).text, 'true')
    assert.equal(await again.files.read('/srv/kept'), 'file')
    assert((await again.commands.list()).some(({ pid }) => pid === process.pid))
    const [figures] = (await again.getMetrics()).slice(-1)
    assert(figures.memTotal > 0 && figures.cpuCount >= 1, JSON.stringify(figures))
  },

  'sandboxes are listed, share nothing, and end at their time limit': async (one) => {
    const run = randomUUID()
    const other = await Sandbox.create({ metadata: { run }, timeoutMs: 300_000 })
    const listed = await Sandbox.list({ query: { metadata: { run } } }).nextItems()
    assert.deepEqual(listed.map(({ sandboxId }) => sandboxId), [other.sandboxId])
    await one.files.write('/tmp/of-one', 'secret')
    await serve(one, 8000)
    assert.equal(await other.files.exists('/tmp/of-one'), false)
    assert.deepEqual(await other.commands.list(), [])
    assert.equal((await ask(byHost(one, 8000), other.trafficAccessToken)).status, 401)
    const before = (await other.getInfo()).endAt
    await other.setTimeout(1_000_000)
    assert((await other.getInfo()).endAt - before > 600_000)
    await other.setTimeout(1000)
    await waitUntil(async () => !(await other.isRunning()))
    await rejects(['TimeoutError', 'NotFoundError', 'SandboxNotFoundError'], other.commands.run('true'))
    assert.equal((await one.commands.run('cat /tmp/of-one')).stdout, 'secret')
  },
})
