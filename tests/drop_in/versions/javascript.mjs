// One sandbox by the installed version of the SDK: its files, and its cells where the code interpreter is installed.

import assert from 'node:assert/strict'

const used = ['files']
const { Sandbox } = await import('@e2b/code-interpreter')
  .then((module) => (used.push('cells'), module))
  .catch(() => import('e2b'))

const sandbox = await Sandbox.create({ timeoutMs: 60_000, metadata: { of: 'versions' } })
await sandbox.files.write('/home/user/a.txt', 'written')
assert.equal(await sandbox.files.read('/home/user/a.txt'), 'written')
assert.deepEqual((await sandbox.files.list('/home/user')).map((entry) => entry.name), ['a.txt'])
await sandbox.setTimeout(120_000)
assert.ok(await sandbox.isRunning())
assert.deepEqual((await sandbox.getInfo()).metadata, { of: 'versions' })
assert.ok((await Sandbox.list().nextItems()).some((listed) => listed.sandboxId === sandbox.sandboxId))
if (used.includes('cells')) {
  await sandbox.runCode("x = open('/home/user/a.txt').read()")
  assert.equal((await sandbox.runCode('x * 2')).text, 'writtenwritten')
  assert.equal((await sandbox.runCode('1 / 0')).error.name, 'ZeroDivisionError')
}
await sandbox.kill()
assert.ok(!(await sandbox.isRunning()))
console.log(used.join(' '))
