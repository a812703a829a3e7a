/**
 * The files that `init` creates.
 */

/** A valid config for a release of this name. */
export const configTemplate = (name: string): string => `// What deployer builds and where it goes.
// deployer provides the modules "effect-deployer" and "effect" when it loads this file. For types in the editor:
// npm i -D effect-deployer
import { config, docker } from "effect-deployer"

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
      name: "${name}",
      // The folder on the host, made by the first deployment: absolute, or relative to the login folder.
      path: "${name}",

      // Added to each release built for this target, in addition to "latest".
      // tags: ["production"],

      // Shell commands, run in the release: before the switch (a failure leaves the old release current), and after it.
      // afterUnpack: ["bin/migrate"],
      // afterSwitch: "bin/notify",

      // What start, stop and restart run in the current release; these are the defaults. If restart is set here, each deployment
      // runs it after the switch.
      // start: "bin/${name} daemon",
      // stop: "bin/${name} stop",
      // restart: "bin/${name} restart",

      // How to check that a release is healthy: http, command or tcp. If it is not, the host goes back to the previous release.
      // health: { http: "http://127.0.0.1:4000/health", timeout: "60 seconds", interval: "1 second", successes: 2 },
      // Unless the deployment is confirmed over a new connection within this time, the host goes back by itself.
      // deadMan: "2 minutes",

      // How many healthy releases stay on the host after each deployment.
      keep: 5,

      // timeouts: { connect: "15 seconds", command: "15 minutes", transfer: "60 seconds" },

      // The key of its builder; default: the builder named like the target.
      // builder: "prod",
    },
  },

  // Targets by one name.
  groups: {
    // all: ["prod"],
  },

  builders: {
    // Builds an image and takes the release out of it. The Dockerfile gets the build arguments deployer_name and deployer_ts.
    prod: docker({
      // The directory in the image; if it holds a directory named like the release, that one is the release.
      releasePath: "/app/_build/prod/rel",
      // dockerfile: "Dockerfile",
      // context: ".",
      // args: ["--pull"],
      // buildArgs: { MIX_ENV: "prod" },
      // engine: "podman",
    }),

    // Without a container: command({ run: "make release", releasePath: "build/release" }),
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
