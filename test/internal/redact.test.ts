import { assert, describe, it } from "@effect/vitest"
import { redactor } from "../../src/internal/redact.ts"

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
    ["hunter-one, hunter-two, hunter-three", "***, ***, ***"],
    ['{"password":"two words"}', '{"password":***}'],
    [`PASSWORD="two words" DB_PASS='two words' run`, "PASSWORD=*** DB_PASS=*** run"],
    ["login --password 'two words' --user me", "login --password *** --user me"],
    ["AWS_SECRET_ACCESS_KEY=abc run", "AWS_SECRET_ACCESS_KEY=*** run"],
    ["GET http://h/health?token=abc&x=1", "GET http://h/health?token=***&x=1"]
  ]
  for (const [text, expected] of cases) {
    it(`The log has no secret of ${JSON.stringify(text)}.`, () => assert.strictEqual(redact(text), expected))
  }

  it("Other text stays as it is.", () => {
    const text = "Running restart in /home/me/old with /home/me/.ssh/id: short, the token bucket is full"
    assert.strictEqual(redact(text), text)
  })
})
