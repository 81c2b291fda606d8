// Listens to a conversation's topic and prints a line of JSON for each message: an entry with its epoch, or raw bytes.

const crypto = require('crypto')
const fs = require('fs')
const nsq = require('nsqjs')

const pem = fs.readFileSync(process.env.SIGNING_KEY, 'ascii')
const pkcs8 = Buffer.from(pem.split('\n').filter(line => !line.startsWith('-----')).join(''), 'base64')
const key = Buffer.from(crypto.hkdfSync('sha256', pkcs8, 'lockstep', 'NSQ envelopes', 32))

// As the table in docs/nsq.md describes it.
function entry(body) {
  if (body.length <= 36 || body.toString('latin1', 0, 4) !== 'LSE1') return null
  const mac = crypto.createHmac('sha256', key).update(body.subarray(20)).digest().subarray(0, 16)
  if (!crypto.timingSafeEqual(mac, body.subarray(4, 20))) return null
  const hex = body.toString('hex', 20, 36)
  const epoch = hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5')
  return { entry: JSON.parse(body.toString('utf8', 36)), epoch }
}

const reader = new nsq.Reader(process.env.TOPIC, process.env.CHANNEL, {
  lookupdHTTPAddresses: [process.env.LOOKUPD],
  maxInFlight: 10
})
reader.on('message', message => {
  const line = entry(message.body) || { raw: message.body.toString('hex') }
  console.log(JSON.stringify(line))
  message.finish()
})
reader.on('error', error => console.error(error))
reader.connect()
