// Drives E2B's JavaScript SDK through each of its functions and writes a transcript: one JSON object per line.
//
//     E2B_API_KEY=… E2B_API_URL=http://… E2B_SANDBOX_URL=http://… node javascript.mjs > transcript
//
// Packages: e2b@2.51.0 @e2b/code-interpreter@2.8.0. Node looks for them beside the script. The server at these addresses must
// accept only the key of E2B_API_KEY. The lines have the format of python.py.
import { createHash, randomUUID } from 'node:crypto'
import { CommandExitError, Sandbox } from '@e2b/code-interpreter'

// Distinguishes the sandboxes of this run from those of others.
const RUN = randomUUID()
// The time limit of a cell, except in steps about time limits.
const TIMEOUT_MS = 30_000
// Milliseconds to wait after a time limit was reached, as in python.py.
const PAUSE_MS = 1000 * (process.env.DROP_IN_PAUSE_S ?? 0)

const placeholders = new Map()
const FORMS = [
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<uuid>'],
  [/\b0x[0-9a-f]{5,}/g, '<address>'],
  [/\/tmp\/ipykernel_\d+\/\d+\.py/g, '<cell>'],
  [/\(\d+\.py, line/g, '(<cell>, line'],
  [/\S*interactiveshell\.py:\d+/g, 'interactiveshell.py'],
  [/signature=[\w%-]+/g, 'signature=<signature>'],
  [/signature_expiration=\d+/g, 'signature_expiration=<time>'],
]

/** Returns a value with placeholders for what differs between runs. */
function normalized(value) {
  if (typeof value === 'string') {
    for (const [text, name] of placeholders) value = value.replaceAll(text, name)
    for (const [form, name] of FORMS) value = value.replace(form, name)
    return value
  }
  if (Array.isArray(value)) return value.map(normalized)
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [normalized(key), normalized(item)]))
  }
  return value
}

function record(step, result, details = {}) {
  console.log(JSON.stringify({ step, result: normalized(result ?? null), ...normalized(details) }))
}

function refusal(error) {
  const result = { raises: error?.name === 'Error' ? error.constructor.name : error?.name }
  if (error instanceof CommandExitError) {
    Object.assign(result, { exitCode: error.exitCode, stdout: error.stdout, stderr: error.stderr, error: error.error })
  }
  return result
}

/** Records what a call returns or throws. */
async function step(name, call) {
  try {
    record(name, await call())
  } catch (error) {
    record(name, refusal(error), { message: String(error?.message) })
  }
}

const digest = (text) => ({
  length: text.length,
  sha256: createHash('sha256').update(text).digest('hex').slice(0, 16),
})

function describeResult(result) {
  const names = 'text html markdown svg png jpeg pdf latex json javascript data chart'.split(' ')
  const seen = { main: result.isMainResult, formats: result.formats() }
  for (const name of names) if (result[name] != null) seen[name] = result[name]
  return seen
}

function describeExecution(ran) {
  const seen = { count: ran.executionCount, text: ran.text }
  // The number of pieces of the output depends on timing.
  for (const name of ['stdout', 'stderr']) if (ran.logs[name].length) seen[name] = ran.logs[name].join('')
  if (ran.results.length) seen.results = ran.results.map(describeResult)
  if (ran.error) {
    // The parts of a traceback are joined with or without line breaks.
    const text = ran.error.traceback.replace(/^-{75}|(?<=\(most recent call last\))/g, '$&\n')
    const lines = text.split('\n').filter((line) => line.trim())
    seen.error = { name: ran.error.name, value: ran.error.value, first: lines[0] ?? '', last: lines.at(-1) ?? '' }
    seen.error.cell = ran.error.traceback.includes('Cell In[')
  }
  return seen
}

/** Runs a cell and records its execution. */
async function run(name, sandbox, code, options = {}) {
  try {
    const ran = await sandbox.runCode(code, { timeoutMs: TIMEOUT_MS, ...options })
    record(name, describeExecution(ran), ran.error ? { traceback: ran.error.traceback } : {})
  } catch (error) {
    record(name, refusal(error), { message: String(error?.message) })
    if (error?.name === 'TimeoutError') await pause(PAUSE_MS)
  }
}

/** Returns the events with consecutive pieces of one stream joined. */
function merged(events) {
  const all = []
  for (const [kind, text] of events) {
    if (all.length && all.at(-1)[0] === kind && kind.startsWith('std')) all.at(-1)[1] += text
    else all.push([kind, text])
  }
  return all
}

async function createSandbox(template, options = {}) {
  const settings = { metadata: { run: RUN }, timeoutMs: 300_000, ...options }
  const sandbox = await (template ? Sandbox.create(template, settings) : Sandbox.create(settings))
  placeholders.set(sandbox.sandboxId, '<sandbox>')
  return sandbox
}

const describeEntry = (entry) => {
  const seen = { name: entry.name, path: entry.path, type: entry.type }
  // The size of a folder depends on the file system.
  if (entry.size != null && entry.type === 'file') seen.size = entry.size
  return seen
}
const describeEntries = (entries) => entries.map(describeEntry).sort((a, b) => (a.path < b.path ? -1 : 1))
const describeCommand = ({ exitCode, stdout, stderr, error }) => ({ exitCode, stdout, stderr, error })
const describeInfo = (info) => ({
  id: info.sandboxId, template: info.templateId, name: info.name, metadata: info.metadata, state: info.state,
  cpus: info.cpuCount, memory: info.memoryMB,
  lifetime: Math.round((info.endAt - info.startedAt) / 1000),
})
const pause = (time) => new Promise((done) => setTimeout(done, time))

async function pages(options) {
  const pager = Sandbox.list(options)
  const found = []
  while (pager.hasNext) found.push((await pager.nextItems()).map((it) => it.sandboxId))
  return found
}

const chapters = {
  async cells(sandbox) {
    await run('cells: assign', sandbox, 'x = 41')
    await run('cells: print and a last expression', sandbox, "print('out')\nx + 1")
    await run('cells: stderr', sandbox, "import sys\nprint('oops', file=sys.stderr)")
    await run('cells: None', sandbox, 'None')
    await run('cells: semicolon', sandbox, 'x;')
    await run('cells: str', sandbox, "'a string'")
    await run('cells: dict', sandbox, "{'a': [1, None, True]}")
    await run('cells: list', sandbox, '[1, 2.5, {}]')
    await run('cells: set', sandbox, '{3, 1, 2}')
    await run('cells: function', sandbox, 'def divide(a, b):\n    return a / b')
    await run('cells: error', sandbox, 'divide(1, 0)')
    await run('cells: syntax', sandbox, 'def')
    await run('cells: exit', sandbox, 'sys.exit(3)')
    await run('cells: long error', sandbox, "class E(BaseException):\n    pass\nraise E('v' * 300)")
    await run('cells: display', sandbox, 'from IPython.display import HTML\ndisplay(HTML("<b>b</b>"))\n7')
    await run('cells: representations', sandbox, 'class S:\n    def _repr_html_(self):\n        return "<p>h</p>"\n' +
      '    def _repr_json_(self):\n        return {"j": 1}\nS()')
    await run('cells: unicode', sandbox, "print('żółć 日本 🐍')\n'🐍'")
    await run('cells: await', sandbox, "import asyncio\nawait asyncio.sleep(0.01, 'awaited')")
    await run('cells: empty', sandbox, '')
    await run('cells: input', sandbox, 'input()')
    await run('cells: environment', sandbox, "import os\nos.environ['CREATED'], os.environ.get('K')", {
      envs: { K: 'v' },
    })
    await run('cells: environment is not kept', sandbox, "os.environ['CREATED'], os.environ.get('K')")
    await step('cells: 200 kB', async () => {
      return digest((await sandbox.runCode("print('x' * 200_000)")).logs.stdout.join(''))
    })
    const events = []
    const push = (kind, text) => (it) => void events.push([kind, text(it)])
    // As in python.py: each stream by itself is gathered for 0.2 s.
    const flushed = "print(1, flush=True)\nprint(2, file=sys.stderr, flush=True)\ndisplay(3)\nprint(4, flush=True)\n1/0"
    await run('cells: callbacks', sandbox, flushed, {
      onStdout: push('stdout', (it) => it.line), onStderr: push('stderr', (it) => it.line),
      onResult: push('result', (it) => it.text), onError: push('error', (it) => it.name),
    })
    record('cells: order of callbacks', merged(events))
    await run('cells: late', sandbox, 'y = 5\nimport time\ntime.sleep(60)', { timeoutMs: 1000 })
    await run('cells: state is kept', sandbox, 'x, y')
    await run('cells: python', sandbox, '1 + 1', { language: 'python' })
  },

  async contexts(sandbox) {
    await run('contexts: default one', sandbox, "z = 'default'")
    const before = (await sandbox.listCodeContexts()).length
    const context = await sandbox.createCodeContext({ cwd: '/tmp' })
    placeholders.set(context.id, '<context>')
    record('contexts: created', { id: context.id, language: context.language, cwd: context.cwd })
    await run('contexts: cwd', sandbox, "import os\nos.getcwd(), 'z' in globals()", { context })
    await run('contexts: own state', sandbox, "z = 'own'\nz", { context })
    await run('contexts: default is as it was', sandbox, 'z')
    const listed = await sandbox.listCodeContexts()
    record('contexts: list', [listed.length - before, listed.filter((it) => it.id === context.id).map((it) => it.cwd)])
    await step('contexts: restart', () => sandbox.restartCodeContext(context))
    await run('contexts: restarted', sandbox, "'z' in globals()", { context })
    await step('contexts: remove', () => sandbox.removeCodeContext(context.id))
    await run('contexts: removed', sandbox, '1', { context })
    await step('contexts: remove again', () => sandbox.removeCodeContext(context.id))
  },

  async files(sandbox) {
    const fs = sandbox.files
    await step('files: write', async () => describeEntry(await fs.write('deep/er/note.txt', 'hello')))
    await step('files: read', () => fs.read('deep/er/note.txt'))
    await run('files: a cell reads', sandbox, "open('deep/er/note.txt').read()")
    await run('files: a cell writes', sandbox, "open('/tmp/made', 'wb').write(bytes([0, 255]))")
    await step('files: bytes', async () => [...(await fs.read('/tmp/made', { format: 'bytes' }))])
    await step('files: blob', async () => (await fs.read('/tmp/made', { format: 'blob' })).size)
    await step('files: stream', async () => {
      let size = 0
      for await (const piece of await fs.read('/tmp/made', { format: 'stream' })) size += piece.length
      return size
    })
    const bytes = new Uint8Array([1, 2, 3])
    const several = [{ path: '/tmp/one', data: '1' }, { path: 'two', data: bytes.buffer }]
    await step('files: several', async () => (await fs.write(several)).map(describeEntry))
    await step('files: write a blob', async () => describeEntry(await fs.write('/tmp/blob', new Blob(['blob']))))
    await step('files: write a stream', async () => describeEntry(await fs.write('/tmp/s', new Blob(['st']).stream())))
    await step('files: streamed', () => fs.read('/tmp/s'))
    await step('files: list', async () => describeEntries(await fs.list('deep')))
    await step('files: list to a depth', async () => describeEntries(await fs.list('deep', { depth: 2 })))
    await step('files: exists', async () => [await fs.exists('two'), await fs.exists('three')])
    await step('files: info', async () => describeEntry(await fs.getInfo('two')))
    await step('files: rename', async () => describeEntry(await fs.rename('two', '/tmp/three')))
    await step('files: make a folder', async () => [await fs.makeDir('new'), await fs.makeDir('new')])
    await step('files: remove', () => fs.remove('/tmp/three'))
    await step('files: removed', () => fs.exists('/tmp/three'))
    await step('files: read what is not there', () => fs.read('nowhere'))
    await step('files: list what is not there', () => fs.list('nowhere'))
    placeholders.set(process.env.E2B_SANDBOX_URL.replace(/\/$/, ''), '<origin>')
    const headers = { 'E2b-Sandbox-Id': sandbox.sandboxId, 'E2b-Sandbox-Port': '49983' }
    const url = await sandbox.downloadUrl('/tmp/one')
    record('files: downloadUrl', url)
    await step('files: download', async () => (await fetch(url, { headers })).text())
    const to = await sandbox.uploadUrl('/tmp/up')
    record('files: uploadUrl', to)
    await step('files: upload', async () => {
      const body = new FormData()
      body.append('file', new Blob(['uploaded']), 'up')
      return [(await fetch(to, { method: 'POST', headers, body })).status, await fs.read('/tmp/up')]
    })
    await step('files: watchDir', async () => typeof (await fs.watchDir('/tmp', () => {})))
    record('files: host', sandbox.getHost(8000))
  },

  async life(sandbox) {
    await step('life: info', async () => describeInfo(await sandbox.getInfo()))
    await step('life: runs', () => sandbox.isRunning())
    const before = (await sandbox.getInfo()).endAt
    await step('life: setTimeout', () => sandbox.setTimeout(600_000))
    record('life: ends later', (await sandbox.getInfo()).endAt - before > 200_000)
    await step('life: metrics', async () => (await sandbox.getMetrics()).map((it) => it.cpuCount))
    const query = { metadata: { run: RUN } }
    await step('life: listed', () => pages({ query }))
    const other = await createSandbox(undefined, { metadata: { run: RUN, n: '2' } })
    await step('life: in pages', async () => (await pages({ query, limit: 1 })).map((it) => it.length))
    await step('life: by metadata', () => pages({ query: { metadata: { run: RUN, n: '2' } } }))
    await step('life: kill another', () => Sandbox.kill(other.sandboxId))
    await run('life: something to keep', sandbox, "kept = 'kept'")
    const second = await Sandbox.connect(sandbox.sandboxId)
    await run('life: by a second handle', second, 'kept')
    await step('life: pause', () => sandbox.pause())
    await step('life: pause again', () => sandbox.pause())
    await step('life: does not run', () => sandbox.isRunning())
    await run('life: a cell while paused', sandbox, '1')
    await step('life: paused', () => pages({ query: { metadata: { run: RUN }, state: ['paused'] } }))
    await step('life: running', () => pages({ query: { metadata: { run: RUN }, state: ['running'] } }))
    const again = await Sandbox.connect(sandbox.sandboxId)
    await run('life: kept', again, 'kept')
    await step('life: kill', () => again.kill())
    await step('life: kill again', () => again.kill())
    await step('life: info is over', () => again.getInfo())
    await step('life: connect is over', () => Sandbox.connect(sandbox.sandboxId))
    await step('life: setTimeout is over', () => again.setTimeout(1000))
    await run('life: a cell is over', again, '1')
    await step('life: files are over', () => again.files.read('/tmp/x'))
    await step('life: commands are over', () => again.commands.run('echo 1'))
    await step('life: wrong key', () => Sandbox.create({ apiKey: 'e2b_wrong' }))
    const short = await createSandbox(undefined, { timeoutMs: 1000 })
    await pause(1600)
    await step('life: its time is over', () => short.isRunning())
    await run('life: a cell after its time', short, '1')
  },

  async beyond(sandbox) {
    await run('beyond: state before', sandbox, "before = 'before'")
    await run('beyond: shell', sandbox, '!echo $((1 + 2))')
    await run('beyond: magic', sandbox, '%pwd')
    await run('beyond: thread', sandbox, 'import threading\nt = threading.Thread(target=print, args=("t",))\n' +
      't.start()\nt.join()')
    await run('beyond: state is kept', sandbox, 'before')
    await run('beyond: death', sandbox, 'import os\nos._exit(1)')
    await run('beyond: state is lost', sandbox, "'before' in globals()")
    await run('beyond: javascript', sandbox, '1 + 1', { language: 'javascript' })
  },

  async commands(sandbox) {
    const shell = sandbox.commands
    const command = (name, text, options) =>
      step(`commands: ${name}`, async () => describeCommand(await shell.run(text, options)))
    await run('commands: a cell before', sandbox, "before = [1]\nopen('/tmp/by_cell', 'w').write('by a cell')")
    await command('echo', 'echo out; echo err >&2')
    await command('environment and cwd', 'echo $CREATED $K; basename $PWD', { envs: { K: 'v' }, cwd: '/tmp' })
    await command('exit code', 'echo no; exit 3')
    await command('file of a cell', 'cat /tmp/by_cell')
    await command('writes', 'echo by a command > /tmp/by_command')
    await run('commands: a cell reads', sandbox, "open('/tmp/by_command').read(), before")
    const events = []
    await command('callbacks', 'echo 1; sleep 0.2; echo 2 >&2', {
      onStdout: (text) => void events.push(['stdout', text]), onStderr: (text) => void events.push(['stderr', text]),
    })
    record('commands: order of callbacks', merged(events))
    const sleeper = await shell.run('sleep 100', { background: true })
    await step('commands: list', async () => {
      return (await shell.list()).filter((it) => it.pid === sleeper.pid).map((it) => it.args)
    })
    await step('commands: kill', () => sleeper.kill())
    await step('commands: killed', async () => describeCommand(await sleeper.wait()))
    await step('commands: kill again', () => shell.kill(sleeper.pid))
    const reader = await shell.run('read line; echo got $line', { background: true, stdin: true })
    await step('commands: stdin', () => shell.sendStdin(reader.pid, 'it\n'))
    await step('commands: stdin was read', async () => describeCommand(await reader.wait()))
    const late = await shell.run('sleep 0.5; echo late', { background: true })
    await step('commands: connect', async () => describeCommand(await (await shell.connect(late.pid)).wait()))
    await command('timeout', 'sleep 100', { timeoutMs: 1000 })
    await step('commands: terminal', async () => typeof (await sandbox.pty.create({ cols: 80, rows: 24, onData() {} })))
    await run('commands: a cell after', sandbox, 'before')
  },
}

let code = 0
const creations = {
  cells: [undefined, { envs: { CREATED: 'yes' } }],
  life: ['mine:v1', { metadata: { run: RUN, odd: 'a b&c=d', ż: 'ó' }, timeoutMs: 120_000 }],
  commands: [undefined, { envs: { CREATED: 'yes' } }],
}
const names = process.argv.slice(2)
for (const name of names.length ? names : Object.keys(chapters)) {
  const started = Date.now()
  let sandbox
  try {
    sandbox = await createSandbox(...(creations[name] ?? []))
    await chapters[name](sandbox)
  } catch (error) {
    record(`${name}: broke off`, refusal(error), { message: String(error?.message) })
    console.error(error)
    code = 1
  }
  await sandbox?.kill().catch((error) => console.error(`${name}: its sandbox could not be killed:`, error))
  console.error(`${name}: ${(Date.now() - started) / 1000} s`)
}
// Timers of the SDK would keep the process alive.
process.exit(code)
