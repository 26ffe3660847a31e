// Promises to programs that use E2B's SDK, as in promises.py: functions whose names say what holds, each with a sandbox of its own.
//
//     E2B_API_KEY=… E2B_API_URL=http://… E2B_SANDBOX_URL=http://… node commands.mjs [WORD …]
//
// Node looks for the SDK in the folders above the script.
import http from 'node:http'
import { Sandbox } from '@e2b/code-interpreter'

// The longest time in milliseconds that a script waits for something that must happen.
const PATIENCE_MS = 30_000

/** Returns the error that a promise must be rejected with: one of these names. */
export async function rejects(names, promised) {
  let returned
  try {
    returned = await promised
  } catch (error) {
    if ([names].flat().includes(error.name) || [names].flat().includes(error.constructor.name)) return error
    throw error
  }
  throw new Error(`${names} was expected, the call returned ${JSON.stringify(returned)}`)
}

export const sleep = (ms) => new Promise((go) => setTimeout(go, ms))

/** Returns the first result of a condition that is true. */
export async function waitUntil(condition) {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const result = await condition()
    if (result) return result
    if (Date.now() > deadline) throw new Error(`never true: ${condition}`)
    await sleep(20)
  }
}

const server = new URL(process.env.E2B_SANDBOX_URL)

/** Returns the headers that address a port by the name that the SDK gives it. */
export const byHost = (sandbox, port) => ({ host: sandbox.getHost(port) })

/** Returns the headers that address a port at the server's own name. */
export const byHeaders = (sandbox, port) => ({
  'e2b-sandbox-id': sandbox.sandboxId,
  'e2b-sandbox-port': String(port),
})

/** Returns the status, the headers and the text of an answer of a sandbox's port. */
export function ask(headers, token, { method = 'GET', path = '/', body } = {}) {
  const all = token ? { ...headers, 'e2b-traffic-access-token': token } : headers
  return new Promise((resolve, reject) => {
    const request = http.request({ host: server.hostname, port: server.port, method, path, headers: all })
    request.on('error', reject).on('response', async (answer) => {
      const pieces = []
      for await (const piece of answer) pieces.push(piece)
      resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(pieces).toString() })
    })
    request.end(body)
  })
}

/** Opens a WebSocket (RFC 6455) for messages of less than 126 bytes, or returns the status of a refusal. */
export function webSocket(headers, token) {
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' }
  const key = { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'e2b-traffic-access-token': token }
  return new Promise((resolve, reject) => {
    const options = { host: server.hostname, port: server.port, path: '/socket' }
    const request = http.request({ ...options, headers: { ...headers, ...upgrade, ...key } })
    request.on('error', reject).on('response', (answer) => resolve({ status: answer.statusCode }))
    request.on('upgrade', (answer, socket) => {
      const send = (text, kind = 1) => {
        const data = Buffer.from(text)
        // With a mask of zeros the data are as they are.
        socket.write(Buffer.concat([Buffer.from([128 | kind, 128 | data.length, 0, 0, 0, 0]), data]))
      }
      const received = socket[Symbol.asyncIterator]()
      const receive = async () => {
        const { done, value } = await received.next()
        return done ? undefined : { kind: value[0] & 15, text: value.subarray(2).toString() }
      }
      resolve({ status: answer.statusCode, headers: answer.headers, send, receive, close: () => socket.destroy() })
    })
    request.end()
  })
}

/** Runs promises, each a function or the options of its sandbox and a function, and ends the program as promises.py does. */
export async function keepAll(promises) {
  setTimeout(() => {
    console.error('the script hangs')
    process.exit(1)
  }, 240_000).unref()
  const words = process.argv.slice(2)
  let kept = 0
  for (const [name, promised] of Object.entries(promises)) {
    if (words.length && !words.some((word) => name.includes(word))) continue
    const [options, keep] = [{}, promised].flat().slice(-2)
    const started = Date.now()
    try {
      const sandbox = await Sandbox.create({ timeoutMs: 300_000, ...options })
      try {
        await keep(sandbox)
      } finally {
        await sandbox.kill()
      }
      kept += 1
    } catch (error) {
      process.exitCode = 1
      console.error(`broken: ${name}\n`, error)
    }
    console.error(`${((Date.now() - started) / 1000).toFixed(2)} s  ${name}`)
  }
  console.log(kept)
  process.exit()
}
