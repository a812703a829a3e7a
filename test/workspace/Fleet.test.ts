import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import { decodeConfig } from "../../src/workspace/decode.ts"
import { chooseTargets, type FleetWords, isFleet } from "../../src/workspace/Fleet.ts"

let count = 0
const target = (zone?: string, more: Readonly<Record<string, string>> = {}) => ({
  host: "host.test",
  name: "my_app",
  path: `/srv/${++count}`,
  labels: { ...(zone === undefined ? {} : { zone }), ...more }
})

const config = Either.getOrThrow(
  decodeConfig({
    targets: {
      db: target("a"),
      web2: target("b"),
      web1: target("a", { size: "large" }),
      "web1.old": target(),
      edge: target("c")
    },
    groups: { web: ["web*", "edge"], db: ["db"], both: ["edge", "db"], none: [] }
  })
)

const choose = (words: FleetWords) =>
  Either.match(chooseTargets(config, words), {
    onLeft: ({ message }) => message,
    onRight: (targets) => targets.map(({ key }) => key).join(" ")
  })

const cases: ReadonlyArray<readonly [words: FleetWords, expected: string]> = [
  [{ group: "web" }, "web2 web1 web1.old edge"],
  [{ group: "both,web" }, "edge db web2 web1 web1.old"],
  [{ target: "web1,db" }, "web1 db"],
  [{ target: "db, web1 ,db" }, "db web1"],
  [{ target: "*1" }, "web1"],
  [{ target: "web1.*" }, "web1.old"],
  [{ target: "db", group: "both" }, "db edge"],
  [{ group: "web", except: "web1*,db" }, "web2 edge"],
  [{ except: "web*" }, "db edge"],
  [{ where: "zone:a" }, "db web1"],
  [{ group: "web", where: "zone:a,zone:b" }, "web2 web1"],
  [{ where: "zone:a,size:large" }, "web1"],
  [{ where: "zone:d" }, '"where=zone:d" chooses no targets: none of db, web2, web1, web1.old, edge is left'],
  [{ group: "none" }, '"group=none" chooses no targets: the groups have none'],
  [{ group: "both", except: "db,edge" }, '"group=both except=db,edge" chooses no targets: none of edge, db is left']
]

const mistakes: ReadonlyArray<readonly [words: FleetWords, expected: RegExp]> = [
  [{ target: "web1,web9" }, /^"target=web1,web9" chooses no targets: no target is named "web9".*web1/],
  [{ target: "app*" }, /^"target=app\*" chooses no targets: no target fits "app\*"/],
  [{ target: "web(*" }, /no target fits "web\(\*"/],
  [{ target: "w[b+?*" }, /no target fits "w\[b\+\?\*"/],
  [{ group: "wbe" }, /^"group=wbe" chooses no targets: no group is named "wbe".*web/],
  [{ group: "web", except: "web7" }, /^"except=web7" chooses no targets: no target is named "web7"/],
  [{ where: "zone" }, /^"where=zone" chooses no targets: "where" takes label:value, such as zone:a, not "zone"$/],
  [{ where: "zones:a" }, /^"where=zones:a" chooses no targets: no target has the label "zones".*zone/],
  [{ group: "constructor" }, /no group is named "constructor"/]
]

describe("fleets", () => {
  for (const [words, expected] of cases)
    it(`These words choose targets: ${JSON.stringify(words)}.`, () => assert.strictEqual(choose(words), expected))

  for (const [words, expected] of mistakes)
    it(`These words are a mistake: ${JSON.stringify(words)}.`, () => assert.match(choose(words), expected))

  it("One plain key is no fleet.", () => {
    assert.isFalse(isFleet({ target: "web1" }))
    for (const words of [{ target: "web*" }, { target: "a,b" }, { group: "web" }, { where: "a:b" }, { except: "a" }])
      assert.isTrue(isFleet(words))
  })

  it("A pattern of a group that fits no target is a mistake of the config.", () => {
    const decoded = decodeConfig({ targets: { db: target("a") }, groups: { web: ["web*"] } })
    assert.deepStrictEqual(Either.getOrNull(Either.flip(decoded)), ['groups.web: no target fits "web*"'])
  })
})
