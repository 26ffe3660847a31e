// An agent of the Vercel AI SDK whose tool runs cells by E2B's npm package: node vercel_agent.mjs FOLDER, with task.json there.
//
// Node looks for packages beside the script. The turns of its scripted model are those of task.py.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { Sandbox } from '@e2b/code-interpreter'
import { stepCountIs, tool, ToolLoopAgent } from 'ai'
import { MockLanguageModelV3 } from 'ai/test'
import { z } from 'zod'

const CELLS = JSON.parse(readFileSync(join(process.argv[2], 'task.json'), 'utf8'))
const USAGE = { inputTokens: { total: 1 }, outputTokens: { total: 1 } }

function check(text, given) {
  if (!given.includes(text)) throw new Error(`${text} is not in what the model was given: ${given}`)
}

const model = new MockLanguageModelV3({
  doGenerate: async ({ prompt }) => {
    const parts = prompt.filter((message) => message.role === 'tool').flatMap((message) => message.content)
    const results = parts.map((part) => JSON.stringify(part.output))
    results.forEach((result, turn) => check(CELLS[turn].result, result))
    if (results.length === CELLS.length) {
      const text = `The sum is ${results.at(-1).match(/\d{6,}/)[0]}.`
      return { content: [{ type: 'text', text }], finishReason: { unified: 'stop' }, usage: USAGE, warnings: [] }
    }
    const code = (results.length ? '' : '!pip install numpy\n') + CELLS[results.length].code
    const call = { type: 'tool-call', toolCallId: `call-${results.length}`, toolName: 'execute_python' }
    const content = [{ ...call, input: JSON.stringify({ code }) }]
    return { content, finishReason: { unified: 'tool-calls' }, usage: USAGE, warnings: [] }
  },
})

const sandbox = await Sandbox.create()
const agent = new ToolLoopAgent({
  model,
  tools: {
    execute_python: tool({
      description: 'Execute python code in a Jupyter notebook cell and return result',
      inputSchema: z.object({ code: z.string().describe('The python code to execute in a single cell') }),
      execute: async ({ code }) => {
        const { text, logs, error } = await sandbox.runCode(code)
        return { text, logs, error }
      },
    }),
  },
  stopWhen: stepCountIs(5),
})
const { text } = await agent.generate({ prompt: 'Compute the sum.' })
await sandbox.kill()
check(CELLS.at(-1).result, text)
console.log('all right')
