// Prints a line of JSON for each token: what `claims`, which docs/rest.md shows, says of it; null if it refuses the token.

async function check (tokens) {
  for (const token of tokens) {
    const line = await claims(token).catch(error => {
      if (!(error instanceof jose.errors.JOSEError)) throw error
      return null
    })
    console.log(JSON.stringify(line))
  }
}

check(process.env.TOKENS.split(','))
