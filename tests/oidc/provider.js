// A real OpenID provider on a free port of this machine, for one registry. Whoever comes is signed in at once, as the
// person that was last told to it by POST /person. Its first line of output is its issuer.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

const [redirect, signedOut] = process.argv.slice(2);
const people = new Map();
let coming = '';

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...privateKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'RS256' };

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'socle',
        client_secret: 'a secret of the tests, of some length',
        redirect_uris: [redirect],
        post_logout_redirect_uris: [signedOut],
        token_endpoint_auth_method: 'client_secret_post',
        userinfo_signed_response_alg: 'RS256',
      },
    ],
    jwks: { keys: [key] },
    cookies: { keys: ['a key of the tests'] },
    claims: {
      openid: ['sub'],
      given_name: ['given_name'],
      usual_name: ['usual_name'],
      email: ['email'],
      siret: ['siret'],
    },
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: false },
      jwtUserinfo: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, ...people.get(id) }) }),
  });
  const answers = provider.callback();

  async function accept(request, response) {
    const { prompt, params, session } = await provider.interactionDetails(request, response);
    let result = { login: { accountId: coming } };
    if (prompt.name === 'consent') {
      const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
      grant.addOIDCScope(params.scope);
      result = { consent: { grantId: await grant.save() } };
    }
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
  }

  async function tell(request, response) {
    let text = '';
    for await (const part of request) text += part;
    const { sub, ...claims } = JSON.parse(text);
    people.set(sub, claims);
    coming = sub;
    response.writeHead(204).end();
  }

  server.on('request', (request, response) => {
    if (request.url === '/person') tell(request, response);
    else if (request.url.startsWith('/interaction/')) accept(request, response);
    else answers(request, response);
  });
  console.log(issuer);
});
