// Answers one JSON line for each JSON line it reads: a canonical request and its hash as npm's
// atlassian-jwt makes them, or, asked to `repeat`, what one hash took in microseconds.
const jwt = require("atlassian-jwt");
const { parse } = require("querystring");
const { createInterface } = require("readline");

function answer({ method, url, base_url, form, repeat }) {
  if (repeat) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < repeat; i++) {
      jwt.createQueryStringHash(jwt.fromMethodAndUrl(method, url), false, base_url);
    }
    return { microseconds: Number(process.hrtime.bigint() - start) / 1000 / repeat };
  }
  // Anew for each: the library sorts the values in place.
  const request = () => ({ ...jwt.fromMethodAndUrl(method, url), body: parse(form || "") });
  return {
    canonical: jwt.createCanonicalRequest(request(), true, base_url),
    qsh: jwt.createQueryStringHash(request(), true, base_url),
  };
}

createInterface({ input: process.stdin }).on("line", (line) => {
  let result;
  try {
    result = answer(JSON.parse(line));
  } catch (error) {
    result = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(result) + "\n");
});
