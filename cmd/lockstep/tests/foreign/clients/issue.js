// Identity providers, one for each algorithm: writes their public keys into FOLDER, and prints the tokens that they issue.

const fs = require('fs')
const jose = require('jose')
const path = require('path')

async function issue (algorithm, key, stranger) {
  const token = (user, { signer = key, audience = 'chat', expires = '10m' } = {}) =>
    new jose.SignJWT({})
      .setProtectedHeader({ alg: algorithm, typ: 'JWT', kid: 'new' })
      .setIssuer(`https://${algorithm}.example`)
      .setAudience([audience, 'mail'])
      .setSubject(user)
      .setIssuedAt()
      .setNotBefore('0s')
      .setExpirationTime(expires)
      .sign(signer)
  return {
    ana: await token('ana'),
    ben: await token('ben'),
    expired: await token('ana', { expires: '-10m' }),
    elsewhere: await token('ana', { audience: 'calendar' }),
    stranger: await token('ana', { signer: stranger })
  }
}

async function main () {
  const secret = text => new TextEncoder().encode(text)
  const issued = { HS256: await issue('HS256', secret(process.env.SECRET), secret('another secret with at least 32 characters')) }
  for (const alg of ['RS256', 'ES256', 'EdDSA']) {
    const [old, key, stranger] = await Promise.all([1, 2, 3].map(() => jose.generateKeyPair(alg, { extractable: true })))
    const jwk = async (pair, kid) => ({ ...await jose.exportJWK(pair.publicKey), kid, alg, use: 'sig' })
    const keys = [await jwk(old, 'old'), await jwk(key, 'new')]
    fs.writeFileSync(path.join(process.env.FOLDER, alg), JSON.stringify({ keys }))
    issued[alg] = await issue(alg, key.privateKey, stranger.privateKey)
  }
  console.log(JSON.stringify(issued))
}

main()
