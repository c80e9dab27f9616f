// A product of Atlassian's, as an app sees it: it calls the app with tokens that Atlassian's own
// library makes, and verifies those of the app with it. One JSON line in, one out:
//
//   {token: {...}}  makes a token: claims, a secret or a PEM key with its kid, and the method and
//                   URL it is for, unless the claims have a qsh
//   {send: {...}}   sends a request: method, url, headers, body
//   {listen: {...}} serves as the product's REST API; needs the app's key and the secret
const http = require("http");
const jwt = require("atlassian-jwt");
const { createInterface } = require("readline");

function makeToken({ claims, method, url, base_url, secret, algorithm, pem, kid }) {
  const now = Math.floor(Date.now() / 1000);
  const qsh =
    claims.qsh || jwt.createQueryStringHash(jwt.fromMethodAndUrl(method, url), false, base_url);
  const payload = { iat: now, exp: now + 180, qsh, ...claims };
  return pem
    ? jwt.encodeAsymmetric(payload, pem, jwt.AsymmetricAlgorithm.RS256, { kid })
    : jwt.encodeSymmetric(payload, secret, algorithm);
}

function send({ method, url, headers, body }) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece) => (text += piece));
      response.on("end", () => resolve({ status: response.statusCode, body: text }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

function verify(request, app, secret, base_url) {
  const [scheme, token] = (request.headers.authorization || "").split(" ");
  const claims = jwt.decodeSymmetric(token, secret, jwt.SymmetricAlgorithm.HS256);
  const sent = jwt.fromMethodAndUrl(request.method, request.url);
  const good =
    scheme === "JWT" &&
    claims.iss === app &&
    claims.exp > Date.now() / 1000 &&
    claims.qsh === jwt.createQueryStringHash(sent, false, base_url);
  return { good, claims };
}

function listen({ app, secret, base_url }) {
  const server = http.createServer((request, response) => {
    let result;
    try {
      result = verify(request, app, secret, base_url);
    } catch (error) {
      result = { good: false, error: String(error) };
    }
    response.writeHead(result.good ? 200 : 401, { "Content-Type": "application/json" });
    response.end(JSON.stringify(result));
  });
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve({ port: server.address().port })),
  );
}

async function answer(line) {
  try {
    const question = JSON.parse(line);
    if (question.token) return { token: makeToken(question.token) };
    return await (question.send ? send(question.send) : listen(question.listen));
  } catch (error) {
    return { error: String(error) };
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", async (line) => {
  process.stdout.write(JSON.stringify(await answer(line)) + "\n");
});
lines.on("close", () => process.exit());
