// What a program of the JavaScript SDK does, and what it must find.
import assert from 'node:assert/strict'
import { AuthenticationError, NotFoundError, Sandbox, SandboxNotFoundError, TimeoutError } from '@e2b/code-interpreter'

const sandbox = await Sandbox.create('mine:v1', { envs: { CREATED: 'yes' }, metadata: { from: 'javascript' } })

// Code.
await sandbox.runCode('x = 41')
const ran = await sandbox.runCode("print('out')\nx + 1")
assert.equal(ran.text, '42')
assert.deepEqual(ran.logs.stdout, ['out\n'])
assert.equal(ran.executionCount, 2)
assert.deepEqual((await sandbox.runCode("{'a': [1]}")).results[0].json, { a: [1] })
const failed = await sandbox.runCode("raise ValueError('no good')")
assert.equal(failed.error.name, 'ValueError')
assert.equal(failed.error.value, 'no good')
const seen = []
const push = (kind) => (it) => void seen.push(kind, it)
await sandbox.runCode("import sys; print(1); print(2, file=sys.stderr); display(3); 1/0", {
  onStdout: push('out'), onStderr: push('err'), onResult: push('result'), onError: push('error'),
})
assert.deepEqual(seen.filter((it) => typeof it === 'string'), ['out', 'err', 'result', 'error'])
await assert.rejects(sandbox.runCode('import time; time.sleep(60)', { timeoutMs: 1000 }), TimeoutError)
assert.equal((await sandbox.runCode('x')).text, '41')

// Contexts.
const context = await sandbox.createCodeContext({ cwd: '/tmp' })
assert.equal((await sandbox.runCode('import os; os.getcwd()', { context })).text, '/tmp')
assert.ok((await sandbox.listCodeContexts()).some((it) => it.id === context.id))
await sandbox.restartCodeContext(context)
await sandbox.removeCodeContext(context)
await assert.rejects(sandbox.runCode('1', { context }))

// Files.
assert.equal((await sandbox.files.write('deep/note.txt', 'hello')).path, '/home/user/deep/note.txt')
assert.equal(await sandbox.files.read('deep/note.txt'), 'hello')
await sandbox.files.write([{ path: '/tmp/one', data: '1' }, { path: 'two', data: new Uint8Array([0, 255]).buffer }])
assert.deepEqual([...(await sandbox.files.read('two', { format: 'bytes' }))], [0, 255])
assert.ok((await sandbox.files.list('/home/user')).some((it) => it.name === 'deep'))
assert.ok(await sandbox.files.exists('two'))
await sandbox.files.remove('two')
assert.ok(!(await sandbox.files.exists('two')))
await assert.rejects(sandbox.files.read('nowhere'), NotFoundError)

// Commands.
const done = await sandbox.commands.run('echo $CREATED $K; basename $PWD', { envs: { K: 'v' }, cwd: '/tmp' })
assert.equal(done.stdout, 'yes v\ntmp\n')
await assert.rejects(sandbox.commands.run('exit 3'), (it) => it.exitCode === 3)
const handle = await sandbox.commands.run('sleep 100', { background: true })
assert.ok(await handle.kill())

// Life.
assert.equal((await sandbox.getInfo()).metadata.from, 'javascript')
const listed = await Sandbox.list({ query: { metadata: { from: 'javascript' } } }).nextItems()
assert.deepEqual(listed.map((it) => it.sandboxId), [sandbox.sandboxId])
await sandbox.setTimeout(600_000)
assert.ok(await sandbox.isRunning())
await sandbox.pause()
assert.ok(!(await sandbox.isRunning()))
const again = await Sandbox.connect(sandbox.sandboxId)
assert.equal((await again.runCode('x')).text, '41')
assert.ok(await again.kill())
await assert.rejects(Sandbox.connect(sandbox.sandboxId), SandboxNotFoundError)
await assert.rejects(Sandbox.create('mine', { apiKey: 'e2b_wrong' }), AuthenticationError)

// The SDK keeps timers that would hold the process.
process.exit(0)
