// The kernel for JavaScript of a machine: `node --expose-internals node.js`, with the socket to the host as descriptor 3.
// A JSON object a line, in both directions.
//
// Cells run in the global scope, one after another. What they declare by `let`, `const` and `class` becomes a variable that
// the next cell may declare again, imports become calls, and a cell that awaits becomes an asynchronous function whose
// declarations are outside of it. For that a cell is parsed by the parser that node has for its own prompt, which is why
// its internals are exposed; only texts are edited, and every line keeps its number.
//
// An interrupt ends code that runs without a pause up to its first `await`, and anything that waits. Code that never pauses
// after an `await` cannot be interrupted: the host ends the process.
// A command that a cell is just starting can miss an interrupt, so the host repeats it until the cell has ended.
'use strict'

const fs = require('node:fs')
const Module = require('node:module')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const util = require('node:util')
const vm = require('node:vm')

const SOCKET = 3
const KERNEL = __filename
const acorn = internal('internal/deps/acorn/acorn/dist/acorn')
const walk = internal('internal/deps/acorn/acorn-walk/dist/walk')
const contextify = quietly(() => {
  const found = internal('internal/test/binding')?.internalBinding('contextify')
  return found?.startSigintWatchdog && found.stopSigintWatchdog ? found : undefined
})

function internal(name) {
  try {
    return require(name)
  } catch {
    // A node without it runs cells as they are: then `await` and imports are syntax errors.
    return null
  }
}

// Calls a function whose warnings are of no interest.
function quietly(work) {
  const warn = process.emitWarning
  process.emitWarning = () => {}
  try {
    return work()
  } finally {
    process.emitWarning = warn
  }
}

// ── The host ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const nap = new Int32Array(new SharedArrayBuffer(4))

function writeAll(descriptor, left) {
  while (left.length) {
    try {
      left = left.subarray(fs.writeSync(descriptor, left))
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error
      Atomics.wait(nap, 0, 0, 1)
    }
  }
}

function send(message) {
  try {
    writeAll(SOCKET, Buffer.from(JSON.stringify(message) + '\n'))
  } catch {
    process.exit(1)
  }
}

const finished = (code) => ({ exit: 'finished', code })

function raised(error, number) {
  const at = number === undefined ? programLine : new RegExp(`\\[cell ${number}\\]:(\\d+)`)
  const isObject = (typeof error === 'object' || typeof error === 'function') && error !== null
  const read = (name) => {
    try {
      return isObject && error[name] ? String(error[name]) : undefined
    } catch {
      return undefined
    }
  }
  const stack = own(read('stack') ?? '')
  const line = at.exec(stack)
  return {
    exit: 'raised', name: read('name') ?? typeof error, value: read('message') ?? inspect(error), traceback: stack,
    line: line ? Number(line[1]) : null,
  }
}

// Returns a stack without the frames of this file and those of node below them.
function own(stack) {
  const lines = stack.split('\n')
  const first = lines.findIndex((line) => /^\s+at /.test(line) && line.includes(KERNEL))
  if (first >= 0) {
    let end = first
    while (end > 0 && /^\s+at .*\(?node:/.test(lines[end - 1])) end--
    lines.length = end
  }
  // Above an error of node's own code there is a piece of that code.
  return lines.join('\n').replace(/^node:.*\n[^]*?\n\n/, '').replaceAll(`${cwd()}/[cell `, '[cell ')
}

function inspect(value) {
  try {
    return util.inspect(value)
  } catch {
    return '[it cannot be inspected]'
  }
}

function cwd() {
  try {
    return process.cwd()
  } catch {
    return '/'
  }
}

// ── Values ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const METHODS = { _toHtml: 'text/html', _toSvg: 'image/svg+xml', _toPng: 'image/png', _toJpeg: 'image/jpeg' }

function bundle(value) {
  const data = { 'text/plain': inspect(value) }
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return data
  const json = isData(value) ? attempt(() => JSON.stringify(value)) : undefined
  if (json !== undefined) data['application/json'] = json
  if (typeof value._toMime === 'function') Object.assign(data, asText(attempt(() => value._toMime())))
  for (const [method, mime] of Object.entries(METHODS)) {
    const made = typeof value[method] === 'function' ? attempt(() => value[method]()) : undefined
    if (made !== undefined) data[mime] = String(made)
  }
  return data
}

function isData(value) {
  const kind = Object.getPrototypeOf(value)
  return Array.isArray(value) || kind === Object.prototype || kind === null
}

function attempt(make) {
  try {
    return make()
  } catch {
    return undefined
  }
}

function asText(data) {
  const entries = Object.entries(data ?? {}).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries.map(([mime, value]) => [mime, typeof value === 'string' ? value : JSON.stringify(value)]))
}

function show(data, main) {
  send({ show: data, main })
}

// What cells may call to show something, by the names that E2B's kernel has.
const $$ = { mime: (data) => show(asText(data), false), display: (value) => show(bundle(value), false) }
for (const [name, mime] of Object.entries({ text: 'text/plain', html: 'text/html', svg: 'image/svg+xml', png: 'image/png', jpeg: 'image/jpeg', json: 'application/json' })) {
  $$[name] = (data) => show(asText({ [mime]: data }), false)
}

// ── Cells ────────────────────────────────────────────────────────────────────────────────────────────────────────────

// Returns the text that is run, the names that it declares, and whether the value at its end is shown.
function translate(source) {
  const asIs = { source, names: [], shows: true, waits: false }
  if (acorn === null) return asIs
  let tree
  try {
    tree = acorn.parse(source, {
      ecmaVersion: 'latest', sourceType: 'script', allowAwaitOutsideFunction: true, allowImportExportEverywhere: true,
      allowHashBang: true,
    })
  } catch {
    return asIs // the engine tells what is wrong, or knows a newer syntax
  }
  const edits = []
  const names = new Set()
  const body = tree.body.map((node) => unexported(node, edits))
  const waits = isWaiting(body)
  const last = body.at(-1)
  const shows = last?.type === 'ExpressionStatement'
  const functions = []
  for (const node of body) {
    if (node === null) continue
    if (node.type === 'ImportDeclaration') edits.push(...imported(node, source, names))
    else if (node.type === 'VariableDeclaration') edits.push(...declared(node, waits, names))
    else if (node.type === 'ClassDeclaration') {
      names.add(node.id.name)
      edits.push([node.start, node.start, waits ? `${node.id.name} = ` : `var ${node.id.name} = `], [node.end, node.end, ';'])
    } else if (node.type === 'FunctionDeclaration') {
      names.add(node.id.name)
      functions.push(node.id.name)
    } else if (waits) edits.push(...withinBlocks(node, names))
  }
  if (waits && shows) edits.push([last.expression.start, last.expression.start, 'return { value: ('], [last.expression.end, last.expression.end, ') }'])
  let text = apply(source, edits)
  if (waits) {
    const outside = names.size ? `var ${[...names].join(', ')}; ` : ''
    // A function is there from the beginning, also for the cells after this one.
    const kept = functions.map((name) => `globalThis.${name} = ${name}; `).join('')
    text = `${outside}(async () => { ${kept}${text}\n})()`
  }
  return { source: text, names: [...names], shows, waits }
}

// Returns the declaration within an export, which means nothing here.
function unexported(node, edits) {
  if (node.type === 'ExportNamedDeclaration' || node.type === 'ExportDefaultDeclaration') {
    const inside = node.declaration
    edits.push([node.start, inside ? inside.start : node.end, ''])
    if (!inside || !/Declaration$/.test(inside.type) || !(inside.id || inside.declarations)) return null
    return inside
  }
  return node
}

function isWaiting(body) {
  let found = false
  const nothing = () => {}
  const within = {
    ...walk.base,
    Function: nothing,
    AwaitExpression() { found = true },
    ForOfStatement(node, state, visit) {
      found ||= node.await
      walk.base.ForOfStatement(node, state, visit)
    },
    // What a class computes when it is defined is outside of its methods; its fields are functions.
    PropertyDefinition(node, state, visit) {
      if (node.computed) visit(node.key, state, 'Expression')
    },
    StaticBlock: nothing,
  }
  for (const node of body) {
    if (node?.type === 'ImportDeclaration') found = true
    else if (node) walk.recursive(node, null, within)
  }
  return found
}

// Names of a pattern.
function bound(pattern, names) {
  if (!pattern) return
  if (pattern.type === 'Identifier') names.add(pattern.name)
  else if (pattern.type === 'ObjectPattern') for (const property of pattern.properties) bound(property.value ?? property.argument, names)
  else if (pattern.type === 'ArrayPattern') for (const element of pattern.elements) bound(element, names)
  else bound(pattern.type === 'AssignmentPattern' ? pattern.left : pattern.argument, names)
}

// Edits of a declaration: to `var`, or to assignments of what is declared outside.
function declared(node, waits, names) {
  for (const { id } of node.declarations) bound(id, names)
  const keyword = [node.start, node.start + node.kind.length]
  if (!waits) return [[...keyword, 'var']]
  const end = node.declarations.at(-1).end
  const unset = node.declarations.filter(({ init }) => !init).map(({ id }) => [id.end, id.end, node.kind === 'var' ? '' : ' = undefined'])
  return [[...keyword, 'void ('], ...unset, [end, end, ')']]
}

// Edits of the `var` within the blocks of a statement, which belong to the whole cell.
function withinBlocks(node, names) {
  const edits = []
  const heads = new Set()
  const visit = {
    ...walk.base,
    Function() {},
    Class() {},
    ForStatement(loop, state, next) {
      heads.add(loop.init)
      walk.base.ForStatement(loop, state, next)
    },
    ForInStatement(loop, state, next) {
      heads.add(loop.left)
      walk.base.ForInStatement(loop, state, next)
    },
    ForOfStatement(loop, state, next) {
      heads.add(loop.left)
      walk.base.ForOfStatement(loop, state, next)
    },
    VariableDeclaration(inside, state, next) {
      if (inside.kind === 'var') {
        if (heads.has(inside)) {
          for (const { id } of inside.declarations) bound(id, names)
          edits.push([inside.start, inside.start + 3, ''])
        } else edits.push(...declared(inside, true, names))
      }
      walk.base.VariableDeclaration(inside, state, next)
    },
  }
  walk.recursive(node, null, visit)
  return edits
}

// Edits of an import: to assignments from the module that is awaited.
function imported(node, source, names) {
  const options = node.attributes?.length ? `, { with: { ${node.attributes.map((each) => source.slice(each.start, each.end)).join(', ')} } }` : ''
  const call = `await import(${node.source.raw}${options})`
  const parts = []
  let whole = null
  for (const { type, local, imported: from } of node.specifiers) {
    names.add(local.name)
    if (type === 'ImportNamespaceSpecifier') whole = local.name
    else if (type === 'ImportDefaultSpecifier') parts.push(`default: ${local.name}`)
    else parts.push(`${from.raw ?? from.name}: ${local.name}`)
  }
  let text = call
  if (whole !== null) text = `void (${whole} = ${call})` + (parts.length ? `; void ({ ${parts.join(', ')} } = ${whole})` : '')
  else if (parts.length) text = `void ({ ${parts.join(', ')} } = ${call})`
  // An import may be on several lines.
  return [[node.start, node.end, `${text};${'\n'.repeat(source.slice(node.start, node.end).split('\n').length - 1)}`]]
}

function apply(source, edits) {
  // Of edits at one place, those that were added first come first.
  const sorted = edits.map((edit, at) => [...edit, at]).sort((a, b) => b[0] - a[0] || b[3] - a[3])
  for (const [start, end, text] of sorted) source = source.slice(0, start) + text + source.slice(end)
  return source
}

// Imports of cells are found from the working directory, as those of a file there.
const dynamically = vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER ?? ((name) => import(located(name)))

function located(name) {
  if (/^\.{0,2}\//.test(name)) return pathToFileURL(path.resolve(cwd(), name)).href
  if (/^[a-z]+:/.test(name)) return name
  const found = attempt(() => Module.createRequire(path.join(cwd(), 'cell')).resolve(name))
  return found === undefined || Module.builtinModules.includes(found) ? name : pathToFileURL(found).href
}

if (typeof dynamically === 'symbol') {
  // It is said to be experimental where a cell first imports something; a function in its place is that, too.
  const warn = process.emitWarning
  process.emitWarning = (warning, ...rest) => {
    if (!String(warning).includes('USE_MAIN_CONTEXT_DEFAULT_LOADER')) return warn.call(process, warning, ...rest)
    process.emitWarning = warn
  }
}

const INTERRUPTED = 'Script execution was interrupted by `SIGINT`'
// How often an interrupt is looked for while a cell waits, in milliseconds.
const LOOK = 20

// Interrupts go to the thread that node has for its prompt: it ends code that runs, and notes what comes at other times.
// Without it they are events, which code that runs does not let through.
function watch() {
  if (contextify === undefined) process.on('SIGINT', () => interrupt?.())
  else contextify.startSigintWatchdog()
}

function unwatch() {
  process.removeAllListeners('SIGINT')
  if (contextify !== undefined) contextify.stopSigintWatchdog()
}

// Returns whether an interrupt came since the last call.
function came() {
  if (contextify === undefined) return false
  contextify.startSigintWatchdog()
  return contextify.stopSigintWatchdog()
}

// Ends the cell that waits.
let interrupt = null

function makeRoom(names) {
  for (const name of names) {
    const given = Object.getOwnPropertyDescriptor(globalThis, name)
    // A global that node computes, or that cannot be written to, gives way to the cell's own.
    if (given?.configurable && !given.writable) {
      Object.defineProperty(globalThis, name, { value: undefined, writable: true, configurable: true, enumerable: true })
    }
  }
}

async function run(source, number) {
  const { source: text, names, shows, waits } = translate(source)
  const file = path.join(cwd(), `[cell ${number}]`)
  globalThis.require = Module.createRequire(file)
  const script = new vm.Script(text, { filename: file, importModuleDynamically: dynamically })
  makeRoom(names)
  if (contextify !== undefined && process.listenerCount('SIGINT')) {
    // A cell took interrupts for itself. They are the next cell's again.
    unwatch()
    watch()
  }
  came()
  let value = script.runInThisContext({ breakOnSigint: true })
  if (waits) value = (await orInterrupt(value))?.value
  if (shows && util.types.isPromise(value)) value = await orInterrupt(value)
  if (shows && value !== undefined) show(bundle(value), true)
}

// Waits for a promise, or for an interrupt.
async function orInterrupt(promise) {
  const interrupted = new Promise((_, reject) => {
    const properties = { code: 'ERR_SCRIPT_EXECUTION_INTERRUPTED', stack: `Error: ${INTERRUPTED}` }
    interrupt = () => reject(Object.assign(new Error(INTERRUPTED), properties))
  })
  const look = setInterval(() => { if (came()) interrupt() }, LOOK)
  try {
    return await Promise.race([promise, interrupted])
  } finally {
    clearInterval(look)
    interrupt = null
  }
}

async function runCell({ source, number, env, stdin, options }) {
  Object.assign(process.env, options?.env)
  if (options?.folder) {
    try {
      const folder = path.resolve(os.homedir(), options.folder)
      fs.mkdirSync(folder, { recursive: true })
      process.chdir(folder)
    } catch (error) {
      process.stderr.write(`switchtower: no working directory ${options.folder}: ${error.message}\n`)
    }
  }
  giveInput(stdin)
  const before = Object.keys(env ?? {}).map((name) => [name, process.env[name]])
  Object.assign(process.env, env)
  let ended = finished(0)
  try {
    await run(source, number)
  } catch (error) {
    ended = raised(error, number)
  }
  // What a cell left to the end of its turn, like a rejection that nobody handles, is still its own.
  await new Promise(setImmediate)
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
  send({ ended })
}

// ── Input ────────────────────────────────────────────────────────────────────────────────────────────────────────────

// Makes a text the standard input: the file that is opened next gets the lowest number that is free.
function giveInput(text) {
  let file = '/dev/null'
  let folder = null
  if (typeof text === 'string') {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), '.switchtower-'))
    file = path.join(folder, 'input')
    fs.writeFileSync(file, text)
  }
  attempt(() => fs.closeSync(0))
  fs.openSync(file, 'r')
  if (folder !== null) fs.rmSync(folder, { recursive: true })
  let stream
  Object.defineProperty(process, 'stdin', {
    configurable: true,
    enumerable: true,
    get: () => (stream ??= fs.createReadStream(null, { fd: 0, autoClose: false })),
  })
}

// Reads the next line of the standard input, after a text; null at its end. Nothing beyond the line is read, so that the program may
// read the rest in another way.
function readLine(text, end) {
  if (text !== '') writeAll(1, Buffer.from(text + end))
  const bytes = []
  const byte = Buffer.alloc(1)
  for (;;) {
    let count = 0
    try {
      count = fs.readSync(0, byte, 0, 1, null)
    } catch (error) {
      if (error.code === 'EAGAIN') {
        Atomics.wait(nap, 0, 0, 1)
        continue
      }
      if (error.code !== 'EOF') throw error
    }
    if (count === 0 && bytes.length === 0) return null
    if (count === 0 || byte[0] === 10) return Buffer.from(bytes).toString().replace(/\r$/, '')
    bytes.push(byte[0])
  }
}

// Programs for the JavaScript of WebAssembly sandboxes have these functions.
for (const [name, value] of Object.entries({
  readline: (text = '') => readLine(String(text), ''),
  prompt: (text = '', otherwise = null) => readLine(String(text), ' ') ?? otherwise,
})) Object.defineProperty(globalThis, name, { value, writable: true, configurable: true })

// ── Programs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

// By these errors of a script node knows a module.
const MODULE = /Cannot use import statement outside a module|Unexpected token 'export'|Cannot use 'import\.meta' outside a module|await is only valid in async functions|Unexpected reserved word|Identifier '(module|exports|require|__filename|__dirname)' has already been declared/
let programLine = /$^/

// Returns how a program runs: 'module', or 'script' as node runs a file; 'waiting' is a script that awaits at its top level.
function kindOf(source) {
  const text = source.replace(/^#!.*/, '')
  const compiles = (wrapped) => {
    try {
      new vm.Script(wrapped)
      return true
    } catch (error) {
      return error.message
    }
  }
  const asScript = compiles(Module.wrap(text))
  if (asScript === true) return 'script'
  if (compiles(Module.wrap(waiting(text))) === true) return 'waiting'
  return MODULE.test(asScript) ? 'module' : 'script'
}

// Makes an asynchronous function of a script, on the lines that it has.
const waiting = (source) => `(async () => {${source}\n})().catch((error) => process.nextTick(() => { throw error }))`

// Lets a program require its modules in TypeScript, which the host has translated. Imports of them name files that it has written.
function useModules(modules) {
  if (modules === undefined) return
  const load = (module, file) => module._compile(modules[file] ?? fs.readFileSync(file, 'utf8'), file)
  for (const ending of ['.ts', '.cts']) Module._extensions[ending] = load
}

// Runs a program as node runs its file. The end of the program is that of the process.
function runProgram({ source, stdin, env, modules }) {
  Object.assign(process.env, env)
  giveInput(stdin)
  useModules(modules)
  delete globalThis.$$
  const kind = kindOf(source)
  const file = write(kind === 'waiting' ? waiting(source.replace(/^#!.*/, '')) : source, kind === 'module' ? '.mjs' : '.cjs')
  programLine = new RegExp(`${file.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}:(\\d+)`)
  socket.unref()
  unwatch()
  process.removeAllListeners('uncaughtException')
  process.removeAllListeners('unhandledRejection')
  let ended = null
  process.on('uncaughtExceptionMonitor', (error) => {
    if (process.listenerCount('uncaughtException')) return
    ended = raised(error)
    process.exit(1)
  })
  // After all that the program does at its exit.
  const emit = process.emit
  process.emit = function (event, ...rest) {
    const result = emit.call(this, event, ...rest)
    if (event === 'exit') {
      attempt(() => fs.rmSync(file))
      send({ ended: ended ?? finished((process.exitCode ?? rest[0]) & 0xff) })
    }
    return result
  }
  process.argv.splice(1, Infinity, file)
  if (file.endsWith('.cjs')) {
    try {
      Module._load(file, null, true)
    } catch (error) {
      // Thrown from here, it would be an error of this file.
      ended = process.listenerCount('uncaughtException') ? null : raised(error)
      if (ended !== null) process.exit(1)
      process.nextTick(() => { throw error })
    }
  } else import(pathToFileURL(file).href)
}

function write(source, kind) {
  for (const name of ['main', `main-${process.pid}`]) {
    const file = path.join(cwd(), name + kind)
    try {
      fs.writeFileSync(file, source, { flag: 'wx' })
      return file
    } catch {
      // Another file has the name, or the folder cannot be written to.
    }
  }
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'program-')), 'main' + kind)
  fs.writeFileSync(file, source)
  return file
}

// ── The loop ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const complain = (error) => process.stderr.write(`${own(String(error?.stack ?? inspect(error)))}\n`)
watch()
process.on('uncaughtException', complain)
process.on('unhandledRejection', complain)
// Programs that cells start get node as it is.
process.execArgv.length = 0
process.argv.length = 1
Object.assign(globalThis, { module, exports: {}, $$ })
Object.defineProperty(globalThis, '__dirname', { get: cwd, set: (value) => Object.defineProperty(globalThis, '__dirname', { value, writable: true }), configurable: true })

// What was written before a value comes before it. An interrupt in the middle of node's own function would leave a stream
// that never writes again.
for (const stream of [process.stdout, process.stderr]) {
  stream.write = function (data, encoding, callback) {
    if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding]
    let failed = null
    try {
      writeAll(stream.fd, typeof data === 'string' ? Buffer.from(data, encoding ?? undefined) : data)
    } catch (error) {
      if (error.syscall === undefined) throw error
      failed = error
    }
    if (typeof callback === 'function') process.nextTick(callback, failed)
    return true
  }
}

const socket = new net.Socket({ fd: SOCKET, readable: true, writable: false })
let received = ''
let working = Promise.resolve()
socket.setEncoding('utf8')
socket.on('data', (piece) => {
  const lines = (received + piece).split('\n')
  received = lines.pop()
  for (const line of lines) {
    const message = JSON.parse(line)
    working = working.then(() => (message.op === 'program' ? runProgram(message) : runCell(message)))
  }
})
socket.on('end', () => process.exit(0))
socket.on('error', () => process.exit(1))
send({ ready: true })
