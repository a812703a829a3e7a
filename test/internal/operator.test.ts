import * as os from "node:os"
import { assert, describe, it } from "@effect/vitest"
import { ciJob, operatorName } from "../../src/internal/operator.ts"

const login = `${os.userInfo().username}@${os.hostname()}`

const github = {
  GITHUB_SERVER_URL: "https://github.com",
  GITHUB_REPOSITORY: "acme/shop",
  GITHUB_RUN_ID: "7",
  GITHUB_ACTOR: "alice"
}

describe("operator", () => {
  it("Outside of a CI job, the operator is the login, whatever variables of CI are set.", () => {
    assert.strictEqual(operatorName({}), login)
    assert.strictEqual(operatorName({ GITHUB_ACTOR: "alice" }), login)
    assert.isUndefined(ciJob({ GITHUB_ACTOR: "alice", CI_JOB_URL: " " }))
  })

  it("In a CI job, the operator is the person who started it, or started it again, with the login behind it.", () => {
    assert.strictEqual(operatorName(github), `alice (${login})`)
    assert.strictEqual(operatorName({ ...github, GITHUB_TRIGGERING_ACTOR: "bob" }), `bob (${login})`)
    assert.strictEqual(operatorName({ ...github, GITHUB_ACTOR: "dependabot[bot]" }), `dependabot[bot] (${login})`)
    assert.strictEqual(operatorName({ ...github, GITHUB_ACTOR: "" }), login)
    assert.strictEqual(ciJob(github), "https://github.com/acme/shop/actions/runs/7")
    const gitlab = { CI_JOB_URL: "https://gitlab.com/acme/shop/-/jobs/9", GITLAB_USER_LOGIN: "carol" }
    assert.strictEqual(operatorName(gitlab), `carol (${login})`)
    assert.strictEqual(ciJob(gitlab), "https://gitlab.com/acme/shop/-/jobs/9")
  })

  it("A name from CI cannot look like another one, and neither name nor job brings control characters along.", () => {
    const odd = {
      CI_JOB_URL: "https://x/\u001b[2J\u202e1",
      GITLAB_USER_LOGIN: `eve (root@prod)\n\u001b]0;${"x".repeat(500)}`
    }
    assert.match(operatorName(odd), /^eve_root@prod_\]0_x{80} \(/)
    assert.strictEqual(ciJob(odd), "https://x/[2J1")
  })
})
