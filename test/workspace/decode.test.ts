import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { docker } from "../../src/build/Artifact.ts"
import { findBuilder, findTarget } from "../../src/workspace/Config.ts"
import { decodeConfig } from "../../src/workspace/decode.ts"

const prod = { host: "h", name: "my_app", path: "srv/my_app" }
const builder = () => Effect.die("not built")

const mistakes = (input: unknown) => {
  const decoded = decodeConfig(input)
  return Either.isLeft(decoded) ? decoded.left : []
}

const target = (more: object) => mistakes({ targets: { prod: { ...prod, ...more } } })

describe("decodeConfig", () => {
  it("The config decoder takes a full config and an empty one.", () => {
    const config = Either.getOrThrow(
      decodeConfig({
        targets: {
          prod: { ...prod, port: 2222, tags: ["eu"], afterUnpack: ["a", "b"], timeouts: { connect: "2 seconds" } }
        },
        groups: { web: ["prod"] },
        builders: { prod: builder }
      })
    )
    assert.strictEqual(config.targets["prod"]?.port, 2222)
    assert.deepStrictEqual(config.targets["prod"]?.timeouts.connect, Duration.seconds(2))
    assert.deepStrictEqual(Either.getOrThrow(decodeConfig({})), { targets: {}, groups: {}, builders: {} })
  })

  it("The config decoder refuses the root and the home directory as a path, in any spelling.", () => {
    for (const path of ["/", "//", "/.", "/./.", ".", "./.", "~", "~/", "~/.", "~//./"]) {
      assert.match(target({ path }).join(), /^targets\.prod\.path: must be a directory of its own/, path)
    }
    for (const path of ["/a", "./a", "~/.a", "a/.", "..a"]) assert.deepStrictEqual(target({ path }), [], path)
  })

  it("The config decoder lists all mistakes at once, each on its own line.", () => {
    assert.sameMembers(
      [
        ...mistakes({
          targets: { prod: { hots: "h", name: "-x", path: "/", port: 99999 }, eu: { ...prod, tags: ["a b"] } },
          groups: { web: ["prd", "prod"], all: "prod" },
          builders: { prod: 5 },
          buidlers: {}
        })
      ],
      [
        "targets.prod.host: is missing",
        'targets.prod.hots: is not a known key (did you mean "host"?)',
        "targets.prod.name: must be 1 to 128 letters, digits, '.', '_' or '-', not starting with '.' or '-', found \"-x\"",
        'targets.prod.path: must be a directory of its own, not the root or the home directory, found "/"',
        "targets.prod.port: must be a port number from 1 to 65535, found 99999",
        'targets.eu.tags[0]: must be 1 to 128 printable characters without blanks and commas, found "a b"',
        'groups.web: names the target "prd", which does not exist (did you mean "prod"?)',
        'groups.all: must be a list or an object, found "prod"',
        "builders.prod: must be a builder: docker({ … }), command({ … }) or a function from the build context to an Effect, found 5",
        'buidlers: is not a known key (did you mean "builders"?)'
      ]
    )
  })

  const cases: ReadonlyArray<readonly [object, string]> = [
    [{ host: 5 }, "targets.prod.host: must be a string, found 5"],
    [{ host: "" }, 'targets.prod.host: a host must not be empty or hold control characters, found ""'],
    [{ port: "22" }, 'targets.prod.port: must be a number, found "22"'],
    [
      { hostKey: "MD5:00:11" },
      'targets.prod.hostKey: must be a fingerprint: SHA256: and 43 characters, without the rest of the line that "ssh-keygen -l" prints, found "MD5:00:11"'
    ],
    [{ port: 1.5 }, "targets.prod.port: must be an integer, found 1.5"],
    [
      { host: "deploy@host.test" },
      'targets.prod.host: must be a name or an address alone: write host: "host.test", user: "deploy", found "deploy@host.test"'
    ],
    [
      { host: "host.test:2222" },
      'targets.prod.host: must be a name or an address alone: write host: "host.test", port: 2222, found "host.test:2222"'
    ],
    [
      { host: "ssh://deploy@[::1]:22/" },
      'targets.prod.host: must be a name or an address alone: write host: "::1", user: "deploy", port: 22, found "ssh://deploy@[::1]:22/"'
    ],
    [{ host: "[::1]" }, 'targets.prod.host: must be a name or an address alone: write host: "::1", found "[::1]"'],
    ...["*", "%h", "a,b", "web/path", "a b", "web.test:x", "web@"].map((host): [object, string] => [
      { host },
      `targets.prod.host: must be a name or an address alone, found ${JSON.stringify(host)}`
    ]),
    [
      { host: "web.test:99999" },
      'targets.prod.host: must be a name or an address alone: write host: "web.test", found "web.test:99999"'
    ],
    ...["docker://", "docker:web", "docker://me@web", "docker://web/path", "docker://a b"].map(
      (host): [object, string] => [
        { host },
        `targets.prod.host: must be the name of a container alone, as in "docker://my_app", found ${JSON.stringify(host)}`
      ]
    ),
    [
      { host: "a@b@web" },
      'targets.prod.host: must be a name or an address alone: write host: "web", user: "a@b", found "a@b@web"'
    ],
    [{ host: "-oProxyCommand=x" }, 'targets.prod.host: must be a name or an address alone, found "-oProxyCommand=x"'],
    [{ afterUnpack: 5 }, "targets.prod.afterUnpack: must be a string or a list, found 5"],
    [{ afterUnpack: ["a", 5] }, "targets.prod.afterUnpack[1]: must be a string, found 5"],
    [{ afterUnpack: "" }, 'targets.prod.afterUnpack: a command must not be empty or hold control characters, found ""'],
    [
      { timeouts: { connect: "soon" } },
      'targets.prod.timeouts.connect: must be a duration such as "30 seconds" or "2 minutes", found "soon"'
    ],
    [
      { timeouts: { conect: "1 second" } },
      'targets.prod.timeouts.conect: is not a known key (did you mean "connect"?)'
    ],
    [
      { health: { htp: "http://127.0.0.1:4000" } },
      'targets.prod.health.htp: is not a known key (did you mean "http"?)'
    ],
    [{ health: {} }, "targets.prod.health: needs one of command, http and tcp, and only one, found an object"],
    [
      { health: { tcp: 1, command: "true" } },
      "targets.prod.health: needs one of command, http and tcp, and only one, found an object"
    ],
    [
      { health: { http: "localhost:4000" } },
      'targets.prod.health.http: must be a URL such as http://127.0.0.1:4000/health, found "localhost:4000"'
    ],
    [{ timeouts: 5 }, "targets.prod.timeouts: must be an object, found 5"],
    [{ tags: "eu" }, 'targets.prod.tags: must be a list, found "eu"']
  ]
  for (const [more, expected] of cases) {
    it(`The config decoder explains the mistake in a target with ${JSON.stringify(more)}.`, () =>
      assert.deepStrictEqual(target(more), [expected]))
  }

  it("The config decoder refuses keys that cannot be typed.", () => {
    assert.deepStrictEqual(mistakes({ targets: { "my key": prod } }), [
      `targets["my key"]: is not a usable key: use letters, digits, '.', '_' and '-', and do not begin with '.' or '-'`
    ])
  })

  it("The config decoder refuses a config or a target that is not an object.", () => {
    for (const input of [undefined, null, 5, "x", [], builder]) {
      assert.match(mistakes(input).join("\n"), /^must export an object with targets, groups and builders, found /)
    }
    assert.deepStrictEqual(mistakes({ targets: { prod: 5 } }), ["targets.prod: must be an object, found 5"])
    assert.deepStrictEqual(mistakes({ targets: 5 }), ["targets: must be an object, found 5"])
  })

  it("The config decoder lists the mistakes of a builder's options.", () => {
    const options: object = { dockerfile: 5, dockerfiel: "x" }
    const found = mistakes({ builders: { prod: docker(options) } })
    assert.strictEqual(found.length, 2)
    assert.isTrue(found.every((line) => line.startsWith("builders.prod.dockerfi")))
  })

  it("The config decoder reports a config that throws as a mistake.", () => {
    const input = {
      get targets() {
        throw new Error("no vault")
      }
    }
    assert.deepStrictEqual(decodeConfig(input), Either.left(["cannot be read: no vault"]))
  })

  it("The config decoder never throws, for any input.", () => {
    const known = FastCheck.constantFrom(
      "targets",
      "groups",
      "builders",
      "prod",
      "host",
      "path",
      "name",
      "timeouts",
      "tags"
    )
    const anything = FastCheck.anything({
      key: FastCheck.oneof(known, FastCheck.string()),
      maxDepth: 4,
      withNullPrototype: true
    })
    const near = FastCheck.record({ targets: anything, groups: anything, builders: anything }, { requiredKeys: [] })
    const target = FastCheck.record({ targets: FastCheck.dictionary(known, FastCheck.dictionary(known, anything)) })
    FastCheck.assert(
      FastCheck.property(FastCheck.oneof(anything, near, target), (input) => {
        const decoded = decodeConfig(input)
        if (Either.isLeft(decoded)) {
          assert.isNotEmpty(decoded.left)
          assert.isTrue(decoded.left.every((line) => typeof line === "string" && line !== ""))
        }
      }),
      { numRuns: 300 }
    )
  })
})

describe("targets with one path", () => {
  const refused = (other: object, first: object = {}) =>
    Either.isLeft(decodeConfig({ targets: { prod: { ...prod, ...first }, other: { ...prod, ...other } } }))

  it("A config is rejected if two targets have one path on one host, however it is written.", () => {
    assert.deepStrictEqual(Either.flip(decodeConfig({ targets: { prod, other: prod } })).pipe(Either.getOrThrow), [
      'targets.other.path: is the path of target "prod" on the same host: give each target its own path, or set "sharesPath: true" in both'
    ])
    assert.isTrue(refused({ path: `${prod.path}/` }))
    assert.isTrue(refused({ host: prod.host.toUpperCase(), port: 22 }))
    assert.isTrue(refused({ path: "~/app", user: "a" }, { path: "app", user: "a" }))
    assert.isTrue(refused({ sharesPath: true }))
  })

  it("A target names its private key by a file or by a variable, not by both.", () => {
    assert.deepStrictEqual(target({ sshKeyVariable: "DEPLOY_KEY" }), [])
    assert.deepStrictEqual(target({ sshKey: "id", sshKeyVariable: "DEPLOY_KEY" }), [
      "targets.prod: sets sshKey and sshKeyVariable: remove one of them"
    ])
    assert.match(
      target({ sshKeyVariable: "$DEPLOY_KEY" }).join(),
      /^targets\.prod\.sshKeyVariable: must be the name of/
    )
  })

  it("A config is accepted if two targets have different places, or if both share their path.", () => {
    assert.isFalse(refused({ path: "/srv/other" }))
    assert.isFalse(refused({ port: 2222 }))
    assert.isFalse(refused({ host: "other.test" }))
    assert.isFalse(refused({ path: "app", user: "a" }, { path: "app", user: "b" }))
    assert.isFalse(refused({ sharesPath: true }, { sharesPath: true }))
  })
})

describe("findTarget and findBuilder", () => {
  const config = Either.getOrThrow(
    decodeConfig({
      targets: {
        prod: prod,
        staging: { ...prod, path: "/srv/staging", builder: "pord" },
        bare: { ...prod, path: "/srv/bare" }
      },
      groups: { web: ["prod", "staging"], none: [] },
      builders: { prod: builder }
    })
  )
  const messageOf = <A, E extends Error>(found: Either.Either<A, E>) =>
    Either.isLeft(found) ? found.left.message : "found"

  it("The lookup of a target returns it with its key.", () => {
    assert.deepInclude(Either.getOrThrow(findTarget(config, "prod")), { ...prod, key: "prod" })
  })

  it("The lookup of an unknown target or a group fails with the names of the known targets.", () => {
    assert.strictEqual(
      messageOf(findTarget(config, "prd")),
      'No target named "prd" (known: prod, staging, bare; did you mean "prod"?)'
    )
    assert.strictEqual(
      messageOf(findTarget(config, "web")),
      '"web" is a group, not a target: name one of its targets (prod, staging)'
    )
    assert.strictEqual(
      messageOf(findTarget(config, "none")),
      '"none" is a group, not a target: name one of its targets (it has none)'
    )
    assert.include(messageOf(findTarget(config, "toString")), "No target named")
    assert.include(messageOf(findTarget(Either.getOrThrow(decodeConfig({})), "x")), "(there are none)")
  })

  it("The lookup of a builder returns the one that the target names, or the one with the target's name.", () => {
    const of = (key: string) => findBuilder(config, Either.getOrThrow(findTarget(config, key)))
    assert.strictEqual(Either.getOrThrow(of("prod")), builder)
    assert.strictEqual(
      messageOf(of("staging")),
      'Target "staging" needs the builder "pord", which the config does not have (known: prod; did you mean "prod"?)'
    )
    assert.strictEqual(
      messageOf(of("bare")),
      'Target "bare" has no builder: add builders.bare to the config, or set targets.bare.builder (known: prod)'
    )
  })
})
