// Promises about files, watches and signed links, with the JavaScript SDK.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { FilesystemEventType, FileType } from '@e2b/code-interpreter'
import { keepAll, rejects, waitUntil } from './promises.mjs'

const digest = (data) => createHash('sha256').update(data).digest('hex')

await keepAll({
  'a file is read as it was written': async ({ files }) => {
    assert.equal((await files.write('/srv/text', 'żółć\n🐍\r\n')).path, '/srv/text')
    assert.equal(await files.read('/srv/text'), 'żółć\n🐍\r\n')
    const everyByte = Uint8Array.from({ length: 256 }, (_, n) => n)
    await files.write('bytes', everyByte.buffer)
    assert.deepEqual(await files.read('/home/user/bytes', { format: 'bytes' }), everyByte)
    await files.write('blob', new Blob([everyByte]))
    assert.deepEqual(new Uint8Array(await (await files.read('blob', { format: 'blob' })).arrayBuffer()), everyByte)
    await files.write('stream', new Blob([everyByte]).stream())
    assert.deepEqual(await files.read('stream', { format: 'bytes' }), everyByte)
    await files.write('stream', '')
    assert.equal(await files.read('stream'), '')
    await rejects('FileNotFoundError', files.read('/srv/nowhere'))
    await rejects('InvalidArgumentError', files.read('/srv'))
  },

  'many files are written, listed, renamed and removed': async ({ files, commands }) => {
    const entries = [...Array(30).keys()].map((n) => ({ path: `/opt/deep/${n}/ż ${n}.txt`, data: `${n}` }))
    assert.deepEqual((await files.write(entries)).map(({ path }) => path), entries.map(({ path }) => path))
    assert.equal((await commands.run('cat /opt/deep/*/* | wc -c')).stdout, '50\n')
    const listed = await files.list('/opt', { depth: 3 })
    assert.equal(listed.filter(({ type }) => type === FileType.FILE).length, 30)
    assert.deepEqual((await files.list('/opt')).map(({ path, type }) => [path, type]), [['/opt/deep', FileType.DIR]])
    assert.equal(await files.makeDir('/srv/a/b'), true)
    assert.equal(await files.makeDir('/srv/a/b'), false)
    assert.equal((await files.rename('/opt/deep/7', '/srv/a/seven')).path, '/srv/a/seven')
    assert.equal(await files.read('/srv/a/seven/ż 7.txt'), '7')
    assert.equal(await files.exists('/opt/deep/7'), false)
    await files.remove('/opt/deep')
    assert.equal(await files.exists('/opt/deep/1'), false)
    await rejects('FileNotFoundError', files.list('/opt/deep'))
    await rejects('FileNotFoundError', files.rename('/opt/deep', '/opt/x'))
  },

  'information, owners, links and metadata are those of the file system': async ({ files, commands }) => {
    await files.write('mine', '12345', { metadata: { by: 'ada' } })
    await commands.run('chmod 640 mine; touch -d 2024-02-29T12:00:00Z mine; ln -s /home/user/mine /srv/link', {
      user: 'root',
      cwd: '/home/user',
    })
    const info = await files.getInfo('mine')
    assert.deepEqual([info.path, info.type, info.size], ['/home/user/mine', FileType.FILE, 5])
    assert.deepEqual([info.mode & 0o777, info.permissions, info.owner], [0o640, '-rw-r-----', 'user'])
    assert.equal(info.modifiedTime.toISOString(), '2024-02-29T12:00:00.000Z')
    assert.deepEqual(info.metadata, { by: 'ada' })
    assert.equal((await files.getInfo('/srv/link')).symlinkTarget, '/home/user/mine')
    assert.equal(await files.read('/srv/link'), '12345')
    await files.write('mine', 'of root', { user: 'root' })
    assert.deepEqual([await files.read('mine'), await files.read('/root/mine')], ['12345', 'of root'])
    assert.equal((await files.getInfo('/root/mine')).owner, 'root')
  },

  'a big file arrives whole': async ({ files, commands }) => {
    const big = randomBytes(20 << 20)
    await files.write('/srv/big', new Blob([big]))
    assert.equal((await commands.run('sha256sum < /srv/big')).stdout.split(' ')[0], digest(big))
    assert.equal(digest(await files.read('/srv/big', { format: 'bytes' })), digest(big))
    const streamed = createHash('sha256')
    for await (const piece of await files.read('/srv/big', { format: 'stream' })) streamed.update(piece)
    assert.equal(streamed.digest('hex'), digest(big))
  },

  'signed links download and upload without a key': async (sandbox) => {
    await sandbox.files.write('/srv/f ż', 'by link')
    const link = await sandbox.downloadUrl('/srv/f ż', { useSignatureExpiration: 60 })
    assert.equal(await (await fetch(link)).text(), 'by link')
    assert.equal((await fetch(link.replace('f+', 'g+').replace('f%20', 'g%20'))).status, 401)
    assert.equal((await fetch(await sandbox.downloadUrl('/srv/f ż', { useSignatureExpiration: -60 }))).status, 401)
    const form = new FormData()
    form.append('file', new Blob(['uploaded']), 'f')
    const uploaded = await fetch(await sandbox.uploadUrl('/srv/up'), { method: 'POST', body: form })
    assert.equal(uploaded.status, 200, await uploaded.text())
    assert.equal(await sandbox.files.read('/srv/up'), 'uploaded')
  },

  'a watch calls back with events until it is stopped': async ({ files, commands }) => {
    await commands.run('mkdir -p /home/user/w/a && touch /home/user/w/old')
    const seen = new Set()
    const [create, write, remove, rename] = ['CREATE', 'WRITE', 'REMOVE', 'RENAME'].map((n) => FilesystemEventType[n])
    const flat = await files.watchDir('/home/user/w', ({ name, type }) => void seen.add(`${name} ${type}`))
    const deep = new Map()
    const onEvent = ({ name, type, entry }) => void deep.set(`${name} ${type}`, entry)
    const below = await files.watchDir('/home/user/w', onEvent, { recursive: true, includeEntry: true })
    await commands.run('cd /home/user/w && echo 1 > new && rm old && mv new moved && echo 12 > a/deep')
    const expected = [['new', create], ['new', write], ['old', remove], ['new', rename], ['moved', create]]
    await waitUntil(() => expected.every(([name, type]) => seen.has(`${name} ${type}`)))
    await waitUntil(() => deep.has(`a/deep ${write}`))
    assert.equal(deep.get(`a/deep ${write}`).path, '/home/user/w/a/deep')
    assert(![...seen].some((event) => event.includes('deep')), [...seen].join())
    await flat.stop()
    await files.write('/home/user/w/later', 'x')
    await waitUntil(() => deep.has(`later ${write}`))
    assert(!seen.has(`later ${write}`), 'it was stopped')
    await below.stop()
    await rejects('FileNotFoundError', files.watchDir('/srv/nowhere', onEvent))
  },
})
