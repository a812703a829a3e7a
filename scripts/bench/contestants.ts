/**
 * Contestants: deployer, and the tools that people use beside it, each on a place of its own on the same host.
 */
import * as fs from "node:fs"
import { join } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Bench, Way } from "./Bench.ts"
import * as capistrano from "./capistrano.ts"
import type { Data as Tree, Version } from "./data.ts"
import { type CommandFailed, type Ended, has, run } from "./measure.ts"

/** One job: a version of a tree goes live in the place of `one`. */
export interface Job {
  readonly data: Tree
  readonly version: Version
  readonly way: Way
}

/** A way to do it. */
export interface Contestant {
  readonly name: string
  /** Makes it the live one; this is measured. */
  readonly deploy: (bench: Bench, job: Job) => Effect.Effect<Ended, CommandFailed>
  /** Makes `one` live and takes everything else away. */
  readonly reset: (bench: Bench, data: Tree) => Effect.Effect<void, CommandFailed>
  /** Below the host's home: the link to the live version. */
  readonly current: (data: Tree) => string
  /** The reason why it cannot run here. */
  readonly missing?: (bench: Bench) => Effect.Effect<string | undefined>
}

// deployer

const journals = new Map<string, ReadonlyArray<readonly [file: string, content: Buffer]>>()

const mine = (place: string) => ({
  path: (data: Tree) => `${place}/${data.name}`,
  current: (data: Tree) => `${place}/${data.name}/releases/current`
})

/** The small files in which the host keeps its knowledge about its releases. */
const records = (app: string): ReadonlyArray<string> => [
  ...fs
    .readdirSync(join(app, "config"), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => `config/${name}`),
  ...fs
    .readdirSync(join(app, "releases"))
    .filter((release) => release !== "current")
    .flatMap((release) =>
      fs
        .readdirSync(join(app, "releases", release))
        .filter((name) => name.startsWith("."))
        .map((name) => `releases/${release}/${name}`)
    )
]

/** Its first deployment is done once; after that the host is put back to that state. */
const putBack = (bench: Bench, data: Tree, place: string) =>
  Effect.gen(function* () {
    const path = mine(place).path(data)
    const app = join(bench.host.home, path)
    const one = yield* bench.built(data, "one")
    const known = journals.get(app)
    const live = `deployer_${one.ref}`
    if (known === undefined) {
      yield* bench.deployer(["deploy", "target=there", `release=${one.id}`, "yes"], { data, path })
      journals.set(
        app,
        records(app).map((file) => [file, fs.readFileSync(join(app, file))] as const)
      )
      return
    }
    const kept = new Set([live, "current", ...known.map(([file]) => file)])
    for (const name of fs.readdirSync(join(app, "releases"))) {
      if (!kept.has(name)) retire(bench, join(app, "releases", name))
    }
    for (const file of records(app)) {
      if (!kept.has(file)) fs.rmSync(join(app, file), { recursive: true })
    }
    for (const [file, content] of known) fs.writeFileSync(join(app, file), content)
    point(join(app, "releases/current"), live)
  })

let retired = 0

/**
 * Moves a folder out of the way; it is removed with the host. After many removals, some file systems (ext4) search long for the room of new
 * files, which would count against the next contestant.
 */
const retire = (bench: Bench, folder: string): void => {
  if (!fs.existsSync(folder)) return
  const aside = join(bench.host.folder, "retired")
  fs.mkdirSync(aside, { recursive: true })
  fs.renameSync(folder, join(aside, String(++retired)))
}

const point = (link: string, to: string) => {
  fs.rmSync(link, { force: true })
  fs.symlinkSync(to, link)
}

/** The built binary, as users run it. */
export const deployer: Contestant = {
  name: "deployer",
  deploy: (bench, { data, version, way }) =>
    Effect.flatMap(bench.built(data, version), ({ id }) =>
      bench.deployer(["deploy", "target=there", `release=${id}`, "yes"], { data, version, way })
    ),
  reset: (bench, data) => putBack(bench, data, "ours"),
  current: mine("ours").current
}

/** If the target asks for it, files that are there get a second name, as rsync's `--link-dest` does it. */
export const hardLinked: Contestant = {
  name: "deployer, hardLinks",
  deploy: (bench, { data, version, way }) =>
    Effect.flatMap(bench.built(data, version), ({ id }) =>
      bench.deployer(["deploy", "target=there", `release=${id}`, "yes"], {
        data,
        version,
        way,
        hardLinks: true,
        path: mine("linked").path(data)
      })
    ),
  reset: (bench, data) => putBack(bench, data, "linked"),
  current: mine("linked").current
}

/** On a host that knows nothing yet. */
export const firstDeployment: Contestant = {
  name: "deployer, first",
  deploy: (bench, { data, version, way }) =>
    Effect.flatMap(bench.built(data, version), ({ id }) =>
      bench.deployer(["deploy", "target=there", `release=${id}`, "yes"], {
        data,
        version,
        way,
        path: mine("first").path(data)
      })
    ),
  reset: (bench, data) => Effect.sync(() => retire(bench, join(bench.host.home, mine("first").path(data)))),
  current: mine("first").current
}

// Scripts as people write them

const before = "20200101000000"
const next = "20300101000000"

/** The usual layout: `releases/<time>` and a link `current`. */
const byScript = (options: {
  readonly name: string
  readonly place: string
  /** Shell lines, with `$host`, `$user`, `$at` (on the host), `$tarball`, `$folder` (which holds the tree `$name`), `$before` and `$next`. */
  readonly script: string
  readonly env?: (bench: Bench, job: Job) => Readonly<Record<string, string>>
  readonly cwd?: (bench: Bench) => string
  readonly missing?: Contestant["missing"]
  /** Processes that have to end with it. */
  readonly after?: (bench: Bench, job: Job) => Effect.Effect<void>
  readonly isFirst?: boolean
}): Contestant => {
  const at = (data: Tree) => `${options.place}/${data.name}`
  return {
    name: options.name,
    ...(options.missing === undefined ? {} : { missing: options.missing }),
    current: (data) => `${at(data)}/current`,
    deploy: (bench, job) =>
      Effect.gen(function* () {
        const { data, version, way } = job
        const { tarball } = yield* bench.built(data, version)
        const ended = yield* run({
          words: ["sh", "-ec", options.script],
          cwd: options.cwd?.(bench) ?? bench.folder,
          env: {
            ...bench.env,
            host: way.alias,
            user: bench.host.user,
            at: at(data),
            tarball,
            folder: data.folder(version),
            name: data.name,
            before,
            next,
            socket: join(bench.folder, "socket"),
            ...options.env?.(bench, job)
          }
        })
        if (options.after !== undefined) yield* options.after(bench, job)
        return ended
      }),
    reset: (bench, data) =>
      Effect.gen(function* () {
        const app = join(bench.host.home, at(data))
        const releases = join(app, "releases")
        if (options.isFirst === true) return retire(bench, app)
        const old = join(releases, before)
        if (!fs.existsSync(old)) {
          fs.mkdirSync(releases, { recursive: true })
          yield* run({ words: ["cp", "-a", data.folder("one"), old], env: bench.env })
        }
        for (const name of fs.readdirSync(releases)) if (name !== before) retire(bench, join(releases, name))
        point(join(app, "current"), `releases/${before}`)
      })
  }
}

const needs =
  (...programs: ReadonlyArray<string>): Contestant["missing"] =>
  () => {
    const absent = programs.filter((program) => !has(program))
    return Effect.succeed(absent.length === 0 ? undefined : `${absent.join(" and ")} not installed`)
  }

const unpackOnHost = `mkdir -p $at/releases/$next && tar xzf $at/$next.tar.gz -C $at/releases/$next && rm $at/$next.tar.gz`

/** Each step its own connection. */
export const byHand = byScript({
  name: "ssh mkdir, scp, ssh tar and ln",
  place: "by-hand",
  script: `ssh $host "mkdir -p $at/releases"
scp -q $tarball $host:$at/$next.tar.gz
ssh $host "${unpackOnHost}"
ssh $host "ln -sfn releases/$next $at/current"`
})

const withMaster = (lines: string) => `ssh -fNM -S $socket $host > /dev/null 2>&1
trap 'ssh -S $socket -O exit $host 2> /dev/null' EXIT
${lines}`

/** The same steps over one connection. */
export const controlMaster = byScript({
  name: "the same over one ControlMaster connection",
  place: "control-master",
  script: withMaster(`ssh -S $socket $host "mkdir -p $at/releases"
scp -q -o ControlPath=$socket $tarball $host:$at/$next.tar.gz
ssh -S $socket $host "${unpackOnHost}"
ssh -S $socket $host "ln -sfn releases/$next $at/current"`)
})

/** The work of elixir_deployer on the host, step for step, over one connection. */
export const original = byScript({
  name: "the original's steps over one connection",
  place: "original",
  script: withMaster(`run() { ssh -S $socket $host "$1"; }
run "test -e $at/current"
run "mkdir -p $at/config $at/releases"
run "printf 1 > $at/inprogress_$next"
run "mkdir -p $at/releases/$next"
printf 'put %s %s\\n' $tarball $at/releases/$next/release.tar.gz | sftp -q -b - -o ControlPath=$socket $host > /dev/null
run "tar -xzf $at/releases/$next/release.tar.gz -C $at/releases/$next && rm $at/releases/$next/release.tar.gz"
run "ln -nsf releases/$next $at/current"
run "printf '%s' '{releases: [$before, $next]}' > $at/config/info && rm $at/inprogress_$next"`)
})

/** The rivals of a first upload. */
export const scpAndUntar = byScript({
  name: "scp and tar",
  place: "scp",
  isFirst: true,
  script: `scp -q $tarball $host:$next.tar.gz
ssh $host "mkdir -p $at/releases/$next && tar xzf $next.tar.gz -C $at/releases/$next && rm $next.tar.gz && ln -s releases/$next $at/current"`
})

/** Unchanged files are links to those of the previous release. */
export const rsync = byScript({
  name: "rsync -az --link-dest",
  place: "rsync",
  missing: needs("rsync"),
  script: `rsync -az --link-dest=../$before/ $folder/ $host:$at/releases/$next/
ssh $host "ln -sfn releases/$next $at/current"`
})

/** Unchanged files are copies of those of the previous release. */
export const rsyncCopies = byScript({
  name: "rsync -az --copy-dest",
  place: "rsync-copies",
  missing: needs("rsync"),
  script: `rsync -az --copy-dest=../$before/ $folder/ $host:$at/releases/$next/
ssh $host "ln -sfn releases/$next $at/current"`
})

/** A tarball, uploaded by a task of its own: hosts need no repository. */
export const cap = byScript({
  name: "capistrano",
  place: "capistrano",
  missing: (bench) => Effect.sync(() => (has("cap") ? void capistrano.write(bench) : "cap not installed")),
  cwd: (bench) => join(bench.folder, "capistrano"),
  env: (bench, { data, way }) => ({
    PORT: String(way.port),
    DEPLOY_TO: join(bench.host.home, `capistrano/${data.name}`)
  }),
  script: "cap bench deploy"
})

/** rsync into a copy of the previous release. */
export const shipit = byScript({
  name: "shipit",
  place: "shipit",
  missing: (bench) =>
    Effect.gen(function* () {
      const absent = ["npm", "git", "rsync"].filter((program) => !has(program))
      if (absent.length > 0) return `${absent.join(" and ")} not installed`
      if (bench.quick) return "it is fetched from npm, which a smoke run does not do"
      const folder = join(bench.folder, "shipit")
      fs.mkdirSync(folder)
      yield* run({
        words: ["npm", "install", "--prefix", folder, "shipit-cli@5", "shipit-deploy@5"],
        env: process.env,
        millis: 120_000
      })
      // It writes down a revision, so it wants one; it uploads the tree.
      const commit =
        "git init -q . && git -c user.name=bench -c user.email=bench@localhost commit -q --allow-empty -m release"
      fs.mkdirSync(join(folder, "workspace"))
      yield* run({ words: ["sh", "-ec", commit], cwd: join(folder, "workspace"), env: bench.env })
      fs.writeFileSync(
        join(folder, "shipitfile.js"),
        `module.exports = (shipit) => {
  require("shipit-deploy")(shipit)
  const { at, folder, host, user } = process.env
  shipit.initConfig({ default: { workspace: "workspace", rsyncFrom: folder, branch: "HEAD", shallowClone: false, keepWorkspace: true, deployTo: at, keepReleases: 5 }, bench: { servers: user + "@" + host } })
}
`
      )
      return undefined
    }).pipe(Effect.catchAll(({ detail }) => Effect.succeed(`it could not be set up (${detail.slice(0, 200)})`))),
  cwd: (bench) => join(bench.folder, "shipit"),
  script: "node_modules/.bin/shipit bench deploy"
})

/** Its rsync module with the previous release as `link_dest`, and a link. */
export const ansible = byScript({
  name: "ansible",
  place: "ansible",
  missing: (bench) =>
    Effect.sync(() => {
      const absent = ["ansible-playbook", "rsync"].filter((program) => !has(program))
      if (absent.length > 0) return `${absent.join(" and ")} not installed`
      const folder = join(bench.folder, "ansible")
      fs.mkdirSync(folder)
      fs.writeFileSync(
        join(folder, "deploy.yml"),
        `- hosts: all
  gather_facts: false
  vars:
    ansible_python_interpreter: /usr/bin/python3
  tasks:
    - file: { path: "{{ at }}/releases/{{ next }}", state: directory }
    - ansible.posix.synchronize:
        src: "{{ folder }}/"
        dest: "{{ at }}/releases/{{ next }}/"
        link_dest: ["{{ at }}/releases/{{ before }}"]
    - file: { src: "releases/{{ next }}", dest: "{{ at }}/current", state: link, force: true }
`
      )
      return undefined
    }),
  cwd: (bench) => join(bench.folder, "ansible"),
  env: (bench, { data }) => ({
    at: join(bench.host.home, `ansible/${data.name}`),
    ANSIBLE_LOCALHOST_WARNING: "False",
    ANSIBLE_SSH_CONTROL_PATH_DIR: join(bench.folder, "ansible/control")
  }),
  script: `ansible-playbook -i $host, -e at=$at -e folder=$folder -e next=$next -e before=$before deploy.yml`,
  // It leaves its connection open for the next run, which is to begin like the first.
  after: (bench, { way }) =>
    run({
      words: [
        "sh",
        "-c",
        `for socket in ansible/control/*; do ssh -S "$socket" -O exit ${way.alias}; done; rm -rf ansible/control`
      ],
      cwd: bench.folder,
      env: bench.env
    }).pipe(Effect.ignore)
})

// Side by side

/** One run of one contestant. */
export interface Measured {
  readonly millis: number
  /** Undefined if nothing counted. */
  readonly sent?: number
  readonly received?: number
  readonly roundTrips?: number
}

/** The result of a contestant. */
export type Result = { readonly runs: ReadonlyArray<Measured> } | { readonly missing: string }

class WrongResult extends Data.TaggedError("WrongResult")<{ readonly message: string }> {}

/** Lets all do the same job in turn, round by round. The first one must succeed; another one that fails drops out. */
export const contest = (
  bench: Bench,
  job: Job,
  [first, ...others]: readonly [Contestant, ...ReadonlyArray<Contestant>],
  rounds = bench.rounds
): Effect.Effect<ReadonlyMap<Contestant, Result>, CommandFailed | WrongResult> =>
  Effect.gen(function* () {
    const results = new Map<Contestant, Result>()
    for (const contestant of [first, ...others]) {
      const missing = contestant.missing === undefined ? undefined : yield* once(bench, contestant)
      results.set(contestant, missing === undefined ? { runs: [] } : { missing })
    }
    for (let round = 0; round < rounds; round++) {
      for (const [contestant, result] of results) {
        if ("missing" in result) continue
        const measured = measure(bench, job, contestant)
        const done =
          contestant === first
            ? yield* measured
            : yield* Effect.catchAll(measured, (error) => Effect.succeed(`it failed: ${lastLineOf(error)}`))
        results.set(contestant, typeof done === "string" ? { missing: done } : { runs: [...result.runs, done] })
      }
    }
    return results
  })

const lastLineOf = (error: CommandFailed | WrongResult): string =>
  (error._tag === "CommandFailed" ? error.detail : error.message).trim().split("\n").at(-1) ?? ""

const found = new WeakMap<Bench, Map<Contestant, string | undefined>>()

/** A missing tool is looked for, and made, once. */
const once = (bench: Bench, contestant: Contestant) =>
  Effect.gen(function* () {
    const known = found.get(bench) ?? new Map<Contestant, string | undefined>()
    found.set(bench, known)
    if (!known.has(contestant)) known.set(contestant, yield* contestant.missing?.(bench) ?? Effect.succeed(undefined))
    return known.get(contestant)
  })

const measure = (
  bench: Bench,
  job: Job,
  contestant: Contestant
): Effect.Effect<Measured, CommandFailed | WrongResult> =>
  Effect.gen(function* () {
    const { data, version, way } = job
    yield* bench.built(data, version)
    yield* contestant.reset(bench, data)
    const current = join(bench.host.home, contestant.current(data))
    const before = target(current)
    way.take?.()
    const { millis } = yield* contestant.deploy(bench, job)
    // The last bytes are still on their way.
    yield* Effect.sleep(way.roundTrip * 2 + 20)
    const traffic = way.take?.()
    const isNew = version === "one" || target(current) !== before
    if (!isNew || !holds(join(current, data.name, data.probe), join(data.folder(version), data.name, data.probe))) {
      return yield* new WrongResult({ message: `${contestant.name} did not make ${version} of ${data.name} live` })
    }
    return traffic === undefined
      ? { millis }
      : { millis, sent: traffic.sent, received: traffic.received, roundTrips: traffic.roundTrips }
  })

/** The place that a link leads to, or nothing. */
const target = (link: string): string | undefined =>
  fs.lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() === true ? fs.readlinkSync(link) : undefined

const holds = (file: string, source: string): boolean =>
  fs.existsSync(file) && fs.readFileSync(file).equals(fs.readFileSync(source))
