// The steps of shell_task.json with ComputeSDK and its provider for E2B: node computesdk.mjs FOLDER, with shell_task.json there.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { e2b } from '@computesdk/e2b'
import { compute } from 'computesdk'

const STEPS = JSON.parse(readFileSync(join(process.argv[2], 'shell_task.json'), 'utf8'))

function check(text, given) {
  if (!given.includes(text)) throw new Error(`${text} is not in what came back: ${given}`)
}

compute.setConfig({ provider: e2b({ apiKey: process.env.E2B_API_KEY }) })
const sandbox = await compute.sandbox.create()
const codes = []
for (const step of STEPS) {
  if (step.write) {
    await sandbox.filesystem.writeFile(step.write, step.content)
    check(step.content, await sandbox.filesystem.readFile(step.write))
  } else {
    const result = await sandbox.runCommand(step.run, { cwd: '/home/user', env: { MPLBACKEND: 'Agg' } })
    step.results.forEach((text) => check(text, result.stdout + result.stderr))
    codes.push(result.exitCode)
  }
}
check('0,1,0', String(codes))
const names = (await sandbox.filesystem.readdir('work')).map((entry) => entry.name)
check('figure.png', String(names))
const figure = await sandbox.runCommand('base64 -w0 work/figure.png')
check('iVBORw0KGgo', figure.stdout)
const server = await sandbox.runCommand('python3 -m http.server 8000', { background: true })
check('0', String(server.exitCode))
check(`8000-${sandbox.sandboxId}.`, await sandbox.getUrl({ port: 8000 }))
await sandbox.destroy()
console.log('all right')
