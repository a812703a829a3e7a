import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir, userInfo } from "node:os"
import { dirname, join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { afterAll, assert, describe, it } from "@effect/vitest"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as SshConfig from "../../src/host/transport/ssh/SshConfig.ts"
import { findPlace, readConfigs } from "../../src/host/transport/ssh/SshPlace.ts"
import { makeRemembered, SshSettings } from "../../src/host/transport/ssh/SshSettings.ts"
import { Reporter } from "../../src/terminal/Reporter.ts"
import { missing, titled } from "../kit/sshd.ts"

const text = `
# mine
User everybody
Host web
  HostName = 10.0.0.7
  User deploy
	port 2222
  IdentityFile "~/.ssh/two words"
  IdentityFile ~/.ssh/%h
host *.example.com !db.example.com
  User example
  IdentitiesOnly YES
  IdentityAgent none
  HostName %h.internal
Match exec "true"
  HostName never
Host web
  Port 1
  ProxyJump bastion
Host *
  IdentityFile ~/.ssh/last
  ProxyCommand none
`

const asker: SshConfig.Asker = {
  userName: "me",
  homeDir: "/home/me",
  machine: "laptop.test",
  variable: (name) => (name === "AGENT" ? "/run/agent" : undefined)
}

const lookup = (text: string, asked: string | SshConfig.Asked) =>
  SshConfig.lookup([SshConfig.parse(text)], typeof asked === "string" ? { host: asked } : asked, asker)

describe("SshConfig", () => {
  it("SshConfig uses the defaults if the file says nothing about a host.", () => {
    const nothing = lookup("", "web")
    assert.deepStrictEqual(nothing, {
      hostName: "web",
      user: "me",
      port: undefined,
      identityFiles: [],
      identityAgent: undefined,
      identitiesOnly: false,
      hostKeyAlias: undefined,
      userKnownHostsFiles: undefined,
      globalKnownHostsFiles: undefined,
      unknownKeys: "ask",
      connectTimeout: undefined,
      aliveInterval: undefined,
      aliveCountMax: undefined,
      proxy: undefined,
      allowsOldRsa: false,
      unfollowed: [],
      sharesConnections: false,
      ignored: []
    })
    assert.deepStrictEqual(lookup("Host\nPort\n= =\nPort none\n\u0000", "web"), nothing)
  })

  it("SshConfig names the settings that deployer does not follow, as far as they are in use.", () => {
    const { allowsOldRsa, unfollowed } = lookup(
      'Host web\nKnownHostsCommand /bin/keys %H\nCanonicalizeHostname no\nCertificateFile ~/.ssh/id-cert.pub\nAddressFamily any\nRefuseConnection "do not use"\nHostKeyAlgorithms +ssh-rsa',
      "web"
    )
    assert.deepStrictEqual(unfollowed, [
      "CertificateFile ~/.ssh/id-cert.pub",
      "KnownHostsCommand /bin/keys",
      "RefuseConnection do not use"
    ])
    assert.isTrue(allowsOldRsa)
    for (const list of ["rsa-sha2-256", "-ssh-rsa", "ssh-ed25519"])
      assert.isFalse(lookup(`HostKeyAlgorithms ${list}`, "web").allowsOldRsa)
  })

  it("SshConfig takes the first value of a setting, and all identity files.", () => {
    const web = lookup(text, "web")
    assert.strictEqual(web.hostName, "10.0.0.7")
    assert.strictEqual(web.user, "everybody")
    assert.strictEqual(web.port, 2222)
    assert.deepStrictEqual(web.proxy, { _tag: "Jump", hosts: "bastion" })
    assert.deepStrictEqual(web.identityFiles, [
      "/home/me/.ssh/two words",
      "/home/me/.ssh/10.0.0.7",
      "/home/me/.ssh/last"
    ])
  })

  it("SshConfig understands patterns and negations.", () => {
    const api = lookup(text, "api.example.com")
    assert.strictEqual(api.hostName, "api.example.com.internal")
    assert.isTrue(api.identitiesOnly)
    assert.strictEqual(api.identityAgent, "none")
    assert.strictEqual(api.proxy, undefined)
    assert.strictEqual(lookup(text, "db.example.com").hostName, "db.example.com")
    assert.strictEqual(lookup("Match all\nUser you", "web").user, "you")
  })

  it("SshConfig names the conditions that it does not understand, and ignores their blocks.", () => {
    assert.deepStrictEqual(lookup(text, "web").ignored, ['Match exec "true"'])
    assert.deepStrictEqual(lookup('Match host db exec "true"\nUser x', "web").ignored, [])
    assert.strictEqual(lookup("Match tagged x\nUser x\nMatch user me\nPort 7", "web").port, 7)
  })

  it("SshConfig expands tokens and variables.", () => {
    const asked = { host: "Web", user: "root", port: 99 }
    const paths = (value: string) => lookup(`HostName %h.test\nIdentityFile ${value}`, asked).identityFiles[0]
    assert.strictEqual(
      paths("%d/%u/%h/%r/%n/%p/%%/%L/%l/%k"),
      "/home/me/me/web.test/root/Web/99/%/laptop/laptop.test/Web"
    )
    assert.strictEqual(paths(`"\${AGENT}/\${NOTHING}"`), `/run/agent/\${NOTHING}`)
    assert.strictEqual(lookup("IdentityAgent $AGENT", "web").identityAgent, "/run/agent")
    assert.strictEqual(lookup("IdentityAgent ~/a%r", "web").identityAgent, "/home/me/ame")
    assert.strictEqual(lookup("ProxyJump none # c", "web").proxy, undefined)
    const proxy = (line: string) => lookup(`HostName %h.test\n${line}`, asked).proxy
    assert.deepStrictEqual(proxy("ProxyJump j-%h"), { _tag: "Jump", hosts: "j-web.test" })
    assert.deepStrictEqual(proxy("ProxyCommand = nc %h %p  # %n"), {
      _tag: "Command",
      command: "nc web.test 99  # Web"
    })
  })

  it("SshConfig splits the last jump host off the others.", () => {
    assert.deepStrictEqual(SshConfig.lastHop("a,me@you@b:7"), { host: "b", user: "me@you", port: 7, jump: "a" })
    assert.deepStrictEqual(SshConfig.lastHop("ssh://u@[::1]:33/"), {
      host: "::1",
      user: "u",
      port: 33,
      jump: undefined
    })
    for (const none of ["", "a,", "a:0", "a:b", "::1"]) assert.isUndefined(SshConfig.lastHop(none))
  })
})

const folder = mkdtempSync(join(tmpdir(), "deployer-ssh-config-"))
afterAll(() => rmSync(folder, { recursive: true }))

const write = (files: Readonly<Record<string, string>>) => {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
}

const settings = (more: Partial<Context.Tag.Service<typeof SshSettings>> = {}) => ({
  ...asker,
  homeDir: folder,
  workingDir: join(folder, "project"),
  configFile: join(folder, ".ssh/config"),
  globalConfigFile: join(folder, "ssh_config"),
  agentSocket: undefined,
  knownHostsFile: join(folder, ".ssh/known_hosts"),
  globalKnownHostsFiles: [],
  keepAlive: Duration.seconds(5),
  firstAnswer: Duration.seconds(30),
  remembered: makeRemembered(),
  ...more
})

const placeOf = (host: string, run = settings()) =>
  findPlace({ host }).pipe(Effect.provideService(SshSettings, run), Effect.provide(NodeFileSystem.layer))

describe("the files of ssh_config", () => {
  it.effect("Files that ssh_config includes are read, and their blocks end with them.", () =>
    Effect.gen(function* () {
      write({
        ".ssh/config": "Host web\n  Include conf.d/*.conf ~/more\n  User late\nHost db\n  Include conf.d/10*\n",
        ".ssh/conf.d/20.conf": "Port 20\n",
        ".ssh/conf.d/10.conf": "Port 10\nHost other\n  User never\n",
        ".ssh/conf.d/.hidden.conf": "Port 30\n",
        more: "User more\n",
        ssh_config: "User system\nPort 77\n"
      })
      assert.deepInclude(yield* placeOf("web"), { port: 10, user: "more" })
      assert.deepInclude(yield* placeOf("db"), { port: 10, user: "system" })
      assert.deepInclude(yield* placeOf("another"), { port: 77, user: "system" })
    })
  )

  it.effect("A file of ssh_config may include itself, and a warning says so.", () =>
    Effect.gen(function* () {
      write({
        ".ssh/config": "Include config other\nPort 8\n",
        ".ssh/other": "Include config\nUser o\n",
        ssh_config: ""
      })
      const said: Array<string> = []
      const emit: Reporter["Type"]["emit"] = (event) =>
        Effect.sync(() => void (event._tag === "Warning" && said.push(event.message)))
      const place = yield* Effect.provideService(placeOf("web"), Reporter, { emit })
      assert.deepInclude(place, { port: 8, user: "o" })
      assert.lengthOf(said, 2)
    })
  )

  it.effect("The lines that deployer's own SSH does not follow are named with their place.", () =>
    Effect.gen(function* () {
      write({ ".ssh/config": "Match exec true\n  Port 9\nHost web\n  CertificateFile cert\n" })
      const condition = `"Match exec true" in ${folder}/.ssh/config`
      const { port, unfollowed } = yield* placeOf("web")
      assert.strictEqual(port, 22)
      assert.deepStrictEqual(unfollowed, [condition, '"CertificateFile cert" in ssh_config for web'])
      assert.deepStrictEqual((yield* placeOf("db")).unfollowed, [condition])
    })
  )
})

// Against OpenSSH itself

const one = <A>(...values: ReadonlyArray<A>) => FastCheck.constantFrom(...values)

const hosts = one("web", "db", "Web", "api.example.com", "10.0.0.7")
const pattern = one(
  "web",
  "WEB",
  "w?b",
  "*",
  "!db",
  "!w*",
  "*.example.com",
  "*.internal",
  "10.0.0.?",
  "api.example.com"
)
const list = FastCheck.array(one("web", "WEB", "*", "!db", "*.internal", "d*", "!api*", "api.example.com"), {
  minLength: 1,
  maxLength: 3
}).map((patterns) => patterns.join(","))
const users = one("root", "deploy", "!deploy,*", "d*", "Deploy")

const criterion = FastCheck.oneof(
  FastCheck.tuple(one("host", "originalhost", "Host", "!host", "!originalhost"), list),
  FastCheck.tuple(one("user", "!user", "localuser", "!localuser"), users)
).chain(([name, value]) => one(`${name} ${value}`, `${name} "${value}"`))

const block = FastCheck.oneof(
  FastCheck.array(pattern, { minLength: 1, maxLength: 3 }).map((patterns) => `Host ${patterns.join(" ")}`),
  FastCheck.array(criterion, { minLength: 1, maxLength: 2 }).map((criteria) => `Match ${criteria.join(" ")}`),
  one("Match all", "Match !all", "Match final", "Match final host *.internal", "Match !final", "match ALL # c")
)

const values: Readonly<Record<string, ReadonlyArray<string>>> = {
  HostName: ["%h.internal", "db", "API.Example.com", "x-%h.test"],
  User: ["deploy", "root", '"two words"'],
  Port: ["22", "2222"],
  IdentityFile: ["~/.ssh/id_%h", '"~/two words"', "/k/%r", "none", "'~/x'"],
  IdentityAgent: ["none", "SSH_AUTH_SOCK", "~/agent-%r", "/run/%n.sock"],
  IdentitiesOnly: ["yes", "no"],
  HostKeyAlias: ["Alias", "other"],
  UserKnownHostsFile: ["~/kh_%h", '/a "/b c"', "none", "/dev/null"],
  GlobalKnownHostsFile: ["/g /h", "/g"],
  ConnectTimeout: ["10", "1m30s", "none"],
  ServerAliveInterval: ["0", "15", "2m"],
  ServerAliveCountMax: ["0", "5"],
  StrictHostKeyChecking: ["yes", "no", "ask", "accept-new", "off"],
  ProxyJump: ["bastion", "u@j1:2,j2", "none", "ssh://x@j3:33", "NONE"],
  ProxyCommand: ["nc %h %p", "none", 'sh -c "nc %n %r" # c']
}

const option = one(...Object.keys(values)).chain((keyword) =>
  FastCheck.tuple(
    one(keyword, keyword.toLowerCase(), keyword.toUpperCase()),
    one(" ", "=", " = ", "\t", "  "),
    one(...(values[keyword] ?? [])),
    one("", "  ", ...(keyword.startsWith("Proxy") ? [] : [" # c"]))
  ).map(([word, between, value, end]) => `  ${word}${between}${value}${end}`)
)

const linesOf = (...more: ReadonlyArray<FastCheck.Arbitrary<string>>) =>
  FastCheck.array(
    FastCheck.oneof({ arbitrary: option, weight: 5 }, { arbitrary: block, weight: 2 }, one("", "# c"), ...more),
    {
      maxLength: 14
    }
  ).map((lines) => `${lines.join("\n")}\n`)

const spawned = missing("ssh")
const against = spawned === undefined ? describe : describe.skip

against(titled("ssh -G", spawned), () => {
  it("SshConfig agrees with ssh -G on many generated files.", async () => {
    const config = join(folder, "generated/config")
    const home = userInfo().homedir
    let compared = 0
    const property = FastCheck.asyncProperty(
      linesOf(one(`Include ${folder}/generated/inc/*.conf`, `Include "${folder}/generated/inc/2.conf"`)),
      linesOf(),
      linesOf(),
      hosts,
      FastCheck.option(one("root", "deploy"), { nil: undefined }),
      FastCheck.option(one(2022), { nil: undefined }),
      async (main, first, second, host, user, port) => {
        write({ "generated/config": main, "generated/inc/1.conf": first, "generated/inc/2.conf": second })
        const said = answerOf([
          "-F",
          config,
          ...(user === undefined ? [] : ["-l", user]),
          ...(port === undefined ? [] : ["-p", String(port)]),
          host
        ])
        if (said === undefined) return
        compared += 1
        const files = await Effect.runPromise(
          readConfigs.pipe(
            Effect.provideService(SshSettings, settings({ configFile: config })),
            Effect.provide(NodeFileSystem.layer)
          )
        )
        const found = SshConfig.lookup(
          files,
          { host, user, port },
          { ...asker, userName: userInfo().username, homeDir: home }
        )
        assert.deepStrictEqual<unknown>(shown(found), expected(said, host, home))
      }
    )
    await FastCheck.assert(property, { numRuns: 200 })
    assert.isAbove(compared, 150)
  })
})

/** Its lines by keyword; undefined if it does not accept the file. */
const answerOf = (args: ReadonlyArray<string>): ReadonlyMap<string, ReadonlyArray<string>> | undefined => {
  const answer = new Map<string, ReadonlyArray<string>>()
  try {
    const output = execFileSync("ssh", ["-G", ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
    for (const line of output.split("\n")) {
      const [keyword = "", ...rest] = line.split(" ")
      answer.set(keyword, [...(answer.get(keyword) ?? []), rest.join(" ")])
    }
    return answer
  } catch {
    return undefined
  }
}

const hopsOf = (hosts: string) =>
  hosts.split(",").map((hop) => {
    const { host, port, user } = SshConfig.lastHop(hop) ?? { host: hop, port: undefined, user: undefined }
    return `${user ?? ""}@${host}:${port ?? 22}`
  })

const shown = (config: SshConfig.HostConfig) => ({
  hostName: config.hostName,
  user: config.user,
  port: config.port ?? 22,
  identityFiles: config.identityFiles,
  identityAgent: config.identityAgent,
  identitiesOnly: config.identitiesOnly,
  hostKeyAlias: config.hostKeyAlias,
  userKnownHostsFiles: config.userKnownHostsFiles,
  globalKnownHostsFiles: config.globalKnownHostsFiles,
  unknownKeys: config.unknownKeys,
  connectTimeout: config.connectTimeout,
  aliveInterval: config.aliveInterval ?? 0,
  aliveCountMax: config.aliveCountMax ?? 3,
  proxy: config.proxy?._tag === "Jump" ? hopsOf(config.proxy.hosts) : config.proxy?.command
})

/** The same from the words of `ssh -G`, which leaves some tokens as they are. */
const expected = (said: ReadonlyMap<string, ReadonlyArray<string>>, host: string, home: string) => {
  const first = (keyword: string) => said.get(keyword)?.[0]
  const hostName = first("hostname") ?? ""
  const user = first("user") ?? ""
  const port = Number(first("port"))
  const expand = (text: string) =>
    text
      .replace(/^~/, home)
      .replaceAll("%h", hostName)
      .replaceAll("%r", user)
      .replaceAll("%n", host)
      .replaceAll("%p", String(port))
  const identities = said.get("identityfile") ?? []
  const usual = identities.includes("~/.ssh/id_rsa")
  const userFiles = first("userknownhostsfile")
  const globalFiles = first("globalknownhostsfile")
  const strict = first("stricthostkeychecking") ?? ""
  const timeout = first("connecttimeout")
  const jump = first("proxyjump")
  return {
    hostName,
    user,
    port,
    identityFiles: usual ? [] : identities.map(expand),
    identityAgent: first("identityagent"),
    identitiesOnly: first("identitiesonly") === "yes",
    hostKeyAlias: first("hostkeyalias"),
    userKnownHostsFiles: userFiles?.endsWith("known_hosts2")
      ? undefined
      : userFiles === "none"
        ? []
        : userFiles === "/a /b c"
          ? ["/a", "/b c"]
          : userFiles?.split(" "),
    globalKnownHostsFiles: globalFiles?.endsWith("known_hosts2") ? undefined : globalFiles?.split(" "),
    unknownKeys: strict === "true" ? "refuse" : strict === "false" || strict === "accept-new" ? "accept" : "ask",
    connectTimeout: timeout === "none" ? undefined : Number(timeout),
    aliveInterval: Number(first("serveraliveinterval")),
    aliveCountMax: Number(first("serveralivecountmax")),
    proxy:
      jump === undefined ? (said.has("proxycommand") ? expand(first("proxycommand") ?? "") : undefined) : hopsOf(jump)
  }
}
