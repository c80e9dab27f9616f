// Forge and a Forge remote by panva's jose, which atlassian-connect-express verifies invocation
// tokens with, in the way in which it does. One JSON line in, one out:
//
//   {sign: {claims, pem, kid}}            makes a token: RS256
//   {verify: {token, keys, audience}}     verifies one by a key set; {claims}, or {error} with a code
const { createInterface } = require("readline");
const jose = require("jose");

async function sign({ claims, pem, kid }) {
  const key = await jose.importPKCS8(pem, "RS256");
  const header = { alg: "RS256", kid, typ: "JWT" };
  return { token: await new jose.SignJWT(claims).setProtectedHeader(header).sign(key) };
}

async function verify({ token, keys, audience }) {
  const options = { audience, issuer: "forge/invocation-token" };
  const { payload } = await jose.jwtVerify(token, jose.createLocalJWKSet(keys), options);
  return { claims: payload };
}

async function answer(line) {
  try {
    const question = JSON.parse(line);
    return await (question.sign ? sign(question.sign) : verify(question.verify));
  } catch (error) {
    return { error: error.code || String(error) };
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", async (line) => {
  process.stdout.write(JSON.stringify(await answer(line)) + "\n");
});
lines.on("close", () => process.exit());
