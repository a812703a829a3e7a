/**
 * The files that `init` creates.
 */
import type { ProjectFacts } from "./projectFacts.ts"

const quoted = (text: string): string => JSON.stringify(text)

/** The lines about the application's own commands. */
const running = ({ name, program }: ProjectFacts): string =>
  `      // The commands for start, stop and restart, run in the current release. If restart is set, each deployment runs it after the switch.
      // With systemd ("deployer unit target=prod" prints the unit):
      // start: "sudo systemctl start ${name}",
      // stop: "sudo systemctl stop ${name}",
      // restart: "sudo systemctl restart ${name}",
      // Without a service manager, a process with a pid file and a log:
      // ...daemon({ command: ${quoted(program ?? "./my_program")} }),`

const dockerBuilder = (path: string, isElixir: boolean): string => `docker({
      // The path in the image: a folder, or one file. If the folder holds one named like the release, that one is the release.
      releasePath: ${quoted(path)},
      // dockerfile: "Dockerfile",
      // context: ".",
      // args: ["--pull"],
      // buildArgs: { ${isElixir ? 'MIX_ENV: "prod"' : 'STAGE: "prod"'} },
      // engine: "podman",
    })`

const commandBuilder = ({
  releasePath,
  run
}: {
  readonly run: string
  readonly releasePath: string
}): string => `command({
      run: ${quoted(run)},
      // A folder, or one file. If the folder holds one named like the release, that one is the release.
      releasePath: ${quoted(releasePath)},
    })`

const builder = ({ build, imagePath, language }: ProjectFacts): string => {
  const isElixir = language === "Elixir"
  if (imagePath !== undefined) {
    return `    // Builds an image and takes the release out of it. The Dockerfile may declare the build arguments deployer_name and deployer_ts.
    prod: ${dockerBuilder(imagePath, isElixir)},

    // Without a container:
    // prod: ${commandBuilder(build ?? { run: "make release", releasePath: "build/release" }).replaceAll("\n    ", "\n    // ")},`
  }
  if (build !== undefined) {
    return `    // Runs a command in the project and takes the release from a folder, or one file. git archive takes the files of the last commit.
    prod: ${commandBuilder(build)},

    // In a container, if you write a Dockerfile:
    // prod: ${dockerBuilder("/app", isElixir).replaceAll("\n    ", "\n    // ")},`
  }
  return `    // Builds an image with your Dockerfile and takes the release out of it.
    prod: ${dockerBuilder("/app", isElixir)},

    // Without a container:
    // prod: ${commandBuilder({ run: "make release", releasePath: "build/release" }).replaceAll("\n    ", "\n    // ")},`
}

/** A valid config for a project. `hasTypes`: whether its types for editors lie beside it. */
export const configTemplate = (
  facts: ProjectFacts,
  hasTypes: boolean
): string => `// The releases that deployer builds, and their hosts.
// deployer provides the module "effect-deployer" when it loads this file.${hasTypes ? '\n/// <reference path="./deployer-env.d.ts" />' : ""}
import { command, config, daemon, docker } from "effect-deployer"

export default config({
  targets: {
    // deployer build target=prod
    // deployer deploy target=prod
    prod: {
      // A host name, an address, "local" for this machine without SSH, or "docker://NAME" for a running container.
      host: "app.example.com",
      user: "deploy",
      // port: 22,
      // sshKey: "~/.ssh/id_ed25519", // default: the ssh-agent, then the usual keys in ~/.ssh

      // The name of the release.
      name: ${quoted(facts.name)},
      // The folder on the host, made by the first deployment: absolute, or relative to the login folder.
      path: ${quoted(facts.name)},

      // Added to each release built for this target, in addition to "latest".
      // tags: ["production"],

      // Shell commands, run in the release: before the switch (a failure leaves the old release current), and after it.
      // afterUnpack: ["bin/migrate"],
      // afterSwitch: "bin/notify",

${running(facts)}

      // How to check that a release is healthy: http, command or tcp. If it is not, the host goes back to the previous release.
      // health: { http: "http://127.0.0.1:${facts.port ?? 4000}/health", timeout: "60 seconds", interval: "1 second", successes: 2 },
      // Unless the deployment is confirmed over a new connection within this time, the host goes back by itself.
      // deadMan: "2 minutes",

      // How many healthy releases stay on the host after each deployment.
      keep: 5,

      // timeouts: { connect: "15 seconds", command: "15 minutes", transfer: "60 seconds" },

      // The key of its builder; default: the builder named like the target.
      // builder: "prod",
    },
  },

  builders: {
${builder(facts)}

    // A builder of your own: any function from the build context to an Effect of a release.
  },
})
`

/** Lines of `deployer/.gitignore`: the config belongs to the project, the rest to this machine. */
export const ignoredByGit = ["/release_store/", "/temp/", "/config/deployer_store.db*"]

/** Lines of the project's `.dockerignore`: stored releases would be sent to the engine with each build. */
export const ignoredByDocker = ["deployer/"]

// "deployer", "/deployer/" and "deployer/**" mean the same.
const meaning = (line: string): string =>
  line
    .trim()
    .replace(/^\/+/, "")
    .replace(/\/+(\*\*)?$/, "")

/** An ignore file with these lines added and otherwise unchanged. Undefined if it already has all of them. */
export const withLines = (text: string, lines: ReadonlyArray<string>): string | undefined => {
  const present = new Set(text.split(/\r?\n/).map(meaning))
  const missing = lines.filter((line) => !present.has(meaning(line)))
  if (missing.length === 0) return undefined
  const end = text.includes("\r\n") ? "\r\n" : "\n"
  const before = text === "" || text.endsWith("\n") ? text : `${text}${end}`
  return `${before}${missing.map((line) => `${line}${end}`).join("")}`
}
