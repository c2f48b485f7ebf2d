// A DHT of bittorrent-dht nodes on loopback: COUNT [BOOTSTRAP, as HOST:PORT].
//
// Prints one line of JSON, {"version": …, "nodes": [[host, port], …]}, once they know each other. From then on it takes
// commands, one line of JSON each (see matrix.py), which its first node carries out, and ends when its standard input does.
// Needs the npm package `bittorrent-dht`, looked for in the working directory's node_modules; `interop/setup` installs it.

import crypto from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import readline from 'node:readline'
import { pathToFileURL } from 'node:url'

const folder = `${process.cwd()}/node_modules/bittorrent-dht`
const { default: DHT } = await import(pathToFileURL(`${folder}/index.js`))
const { version } = JSON.parse(await readFile(`${folder}/package.json`))

// The library leaves Ed25519 to its user. These bytes turn a raw key into the forms that node's own takes.
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const hex = digits => Buffer.from(digits, 'hex')

function verify (signature, message, key) {
  const publicKey = crypto.createPublicKey({ key: Buffer.concat([SPKI, key]), format: 'der', type: 'spki' })
  return crypto.verify(null, message, publicKey, signature)
}

function signer (seed) {
  const privateKey = crypto.createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' })
  return message => crypto.sign(null, message, privateKey)
}

const count = Number(process.argv[2] ?? 8)
const nodes = []
for (let i = 0; i < count; i++) {
  const entries = [process.argv[3], nodes.length && `127.0.0.1:${nodes[0].address().port}`].filter(Boolean)
  const node = new DHT({ bootstrap: entries.length ? entries : false, host: '127.0.0.1', verify })
  node.listen(0, '127.0.0.1')
  await once(node, 'listening')
  if (entries.length) await once(node, 'ready')
  nodes.push(node)
}
const node = nodes[0]

const commands = {
  announce: ({ hash, port }) => new Promise(resolve => {
    // Port 0 says that it is implied.
    node.announce(hash, port, error => resolve(error ? { error: error.message } : {}))
  }),

  peers: ({ hash }) => new Promise(resolve => {
    const peers = []
    const onPeer = peer => peers.push([peer.host, peer.port])
    node.on('peer', onPeer)
    node.lookup(hash, () => { node.off('peer', onPeer); resolve({ peers }) })
  }),

  put_immutable: ({ value }) => put({ v: hex(value) }),

  put_mutable: ({ seed, key, salt, seq, value, cas }) => put({
    k: hex(key), sign: signer(hex(seed)), seq, v: hex(value), ...(salt && { salt: hex(salt) }), ...(cas !== null && { cas })
  }),

  get_immutable: ({ target }) => get(target, {}),

  get_mutable: ({ key, salt }) => {
    const target = crypto.createHash('sha1').update(hex(key)).update(hex(salt)).digest('hex')
    return get(target, salt ? { salt: hex(salt) } : {})
  }
}

function put (item) {
  return new Promise(resolve => {
    node.put(item, (error, target, stored) => {
      // It keeps the errors of the nodes asked to itself, and counts who accepted.
      if (!error && !stored) error = new Error('none stored it')
      resolve(error ? { error: error.message } : { target: target.toString('hex'), stored })
    })
  })
}

function get (target, options) {
  return new Promise(resolve => {
    node.get(target, { cache: false, ...options }, (error, item) => {
      const value = item?.v instanceof Uint8Array ? Buffer.from(item.v).toString('hex') : null
      resolve(error ? { error: error.message } : { value, seq: item?.seq ?? null })
    })
  })
}

console.log(JSON.stringify({ version, nodes: nodes.map(node => ['127.0.0.1', node.address().port]) }))
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  console.log(JSON.stringify(await commands[command.do](command)))
}
process.exit(0)
