import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { hide, redactor, Secrets } from "../../src/internal/redact.ts"

const env = {
  GITHUB_TOKEN: "ghp_0123456789",
  DB_PASSWORD: "correct horse",
  DEPLOY_KEY: "-----BEGIN KEY-----\nb3BlbnNzaC1rZXk\n-----END KEY-----\n",
  SSH_KEY_FILE: "/home/me/.ssh/id",
  API_TOKEN: "short",
  HOME: "/home/me",
  PROD_PEM: "-----BEGIN OPENSSH PRIVATE KEY-----\nYWFhYWFhYWE\n-----END OPENSSH PRIVATE KEY-----",
  DB_PASS: "hunter-one",
  MYSQL_PWD: "hunter-two",
  RAILS_MASTER_KEY: "hunter-three",
  STRIPE_KEY: "hunter-four",
  AWS_CREDENTIALS: "hunter-five",
  GOOGLE_APPLICATION_CREDENTIALS: "/home/me/google.json",
  CACHE_KEY: "linux-node20",
  OLDPWD: "/home/me/old"
}

describe("redactor", () => {
  const redact = redactor(env)
  const cases: ReadonlyArray<readonly [string, string]> = [
    ["push with ghp_0123456789 now", "push with *** now"],
    ["psql correct horse", "psql ***"],
    ["b3BlbnNzaC1rZXk", "***"],
    ["https://me:secret@example.com/x", "https://***@example.com/x"],
    ["curl -H 'Authorization: Bearer abc.def'", "curl -H 'Authorization: ***'"],
    ["login --password hunter2 --user me", "login --password *** --user me"],
    ["MY_SECRET=abc run", "MY_SECRET=*** run"],
    ["YWFhYWFhYWE", "***"],
    ["hunter-one, hunter-two, hunter-three, hunter-four, hunter-five", "***, ***, ***, ***, ***"],
    ["postgres://me:p@ss@word@db.example.com:5432/x", "postgres://***@db.example.com:5432/x"],
    ["curl -u me:secret https://h/x", "curl -u *** https://h/x"],
    ["curl -s --user 'me:two words' https://h/x", "curl -s --user *** https://h/x"],
    ["sshpass -p 'two words' ssh h", "sshpass -p *** ssh h"],
    ["STRIPE_KEY=sk_live_1 run", "STRIPE_KEY=*** run"],
    ['DB_CREDENTIALS="me:two words" run', "DB_CREDENTIALS=*** run"],
    ['PASSWORD="a \\"quoted\\" word" run', "PASSWORD=*** run"],
    ["PASSWORD='two words that do not end", "PASSWORD=***"],
    ['{"password":"two words"}', '{"password":***}'],
    [`PASSWORD="two words" DB_PASS='two words' run`, "PASSWORD=*** DB_PASS=*** run"],
    ["login --password 'two words' --user me", "login --password *** --user me"],
    ["AWS_SECRET_ACCESS_KEY=abc run", "AWS_SECRET_ACCESS_KEY=*** run"],
    ["GET http://h/health?token=abc&x=1", "GET http://h/health?token=***&x=1"]
  ]
  for (const [text, expected] of cases) {
    it(`The log has no secret of ${JSON.stringify(text)}.`, () => assert.strictEqual(redact(text), expected))
  }

  it("A secret that is found later is hidden from then on, line by line.", () => {
    const found = new Set<string>()
    const redact = redactor({}, found)
    assert.strictEqual(redact("first line"), "first line")
    Effect.runSync(Effect.provideService(hide(["first line\n  second line\n\nshort"]), Secrets, found))
    assert.strictEqual(redact("first line, second line, short"), "***, ***, short")
  })

  it("Other text stays as it is.", () => {
    for (const text of [
      "Running restart in /home/me/old with /home/me/.ssh/id: short, the token bucket is full",
      "linux-node20 and /home/me/google.json, host_key: SHA256:abc",
      "docker run -u 1000:1000 me@example.com",
      "see https://example.com/@me"
    ]) {
      assert.strictEqual(redact(text), text)
    }
  })
})
