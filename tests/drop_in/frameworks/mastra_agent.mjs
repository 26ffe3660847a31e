// An agent of Mastra with a workspace in its E2BSandbox: node mastra_agent.mjs FOLDER, with shell_task.json there.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { Agent } from '@mastra/core/agent'
import { Workspace } from '@mastra/core/workspace'
import { E2BSandbox } from '@mastra/e2b'

const STEPS = JSON.parse(readFileSync(join(process.argv[2], 'shell_task.json'), 'utf8'))
const USAGE = { inputTokens: 1, outputTokens: 1, totalTokens: 2 }

function check(text, given) {
  if (!given.includes(text)) throw new Error(`${text} is not in what the model was given: ${given}`)
}

// Its only tool runs commands.
const commandOf = (step) => step.run ?? `cat > ${step.write} <<'END'\n${step.content}END`

const content = (prompt) => {
  const parts = prompt.filter((message) => message.role === 'tool').flatMap((message) => message.content)
  const results = parts.map((part) => String(part.output.value))
  results.forEach((result, turn) => STEPS[turn].results.forEach((text) => check(text, result)))
  if (results.length === STEPS.length) {
    return [{ type: 'text', text: `The sum is ${results.at(-1).match(/power: (\d+)/)[1]}.` }]
  }
  const input = JSON.stringify({ command: commandOf(STEPS[results.length]) })
  const toolName = 'mastra_workspace_execute_command'
  return [{ type: 'tool-call', toolCallId: `call-${results.length}`, toolName, input }]
}

const model = {
  specificationVersion: 'v2',
  provider: 'scripted',
  modelId: 'scripted',
  supportedUrls: {},
  doGenerate: async ({ prompt }) => {
    const answer = content(prompt)
    const finishReason = answer[0].type === 'text' ? 'stop' : 'tool-calls'
    return { content: answer, finishReason, usage: USAGE, warnings: [] }
  },
}

const sandbox = new E2BSandbox()
const workspace = new Workspace({ sandbox })
const agent = new Agent({ id: 'analyst', name: 'analyst', instructions: 'Compute.', model, workspace })
const { text } = await agent.generate('Compute the sum.', { maxSteps: 6 })
const figure = await sandbox.e2b.files.read('work/figure.png', { format: 'bytes' })
check('137,80,78,71', String(figure.slice(0, 4)))
const server = await sandbox.processes.spawn('python3 -m http.server 8000')
check(server.pid, String((await sandbox.processes.list()).map((process) => process.pid)))
await sandbox._stop()
await sandbox.start()
check('work', (await sandbox.executeCommand('ls')).stdout)
await sandbox.destroy()
check('20673431346', text)
console.log('all right')
