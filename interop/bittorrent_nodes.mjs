// A DHT of bittorrent-dht nodes on loopback. Prints one line of JSON, {"nodes": [[host, port], …]}, once they know each other,
// and ends when its standard input does. Needs the npm package `bittorrent-dht`, looked for in the working directory's
// node_modules; `interop/setup` installs it.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'

const folder = `${process.cwd()}/node_modules/bittorrent-dht`
const { default: DHT } = await import(pathToFileURL(`${folder}/index.js`))
const { version } = JSON.parse(await readFile(`${folder}/package.json`))

const count = Number(process.argv[2] ?? 8)
const nodes = []
for (let i = 0; i < count; i++) {
  const bootstrap = nodes.length ? [`127.0.0.1:${nodes[0].address().port}`] : false
  const node = new DHT({ bootstrap, host: '127.0.0.1' })
  node.listen(0, '127.0.0.1')
  await once(node, 'listening')
  if (bootstrap) await once(node, 'ready')
  nodes.push(node)
}

console.log(JSON.stringify({ version, nodes: nodes.map(node => ['127.0.0.1', node.address().port]) }))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
