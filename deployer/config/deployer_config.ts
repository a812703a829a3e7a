// The project's own workspace. `npm run demo` runs it: in a container where an engine answers, over SSH where sshd can be
// started, and without either where not. The demo says which and sets the DEMO_ variables.
import { command, config, docker } from "effect-deployer"

const { DEMO_BUILDER = "plain", DEMO_KEY, DEMO_PATH = "~/deployer_demo", DEMO_PORT, DEMO_USER } = process.env

const here = { host: "local" }
const overSsh = { host: "127.0.0.1", port: Number(DEMO_PORT), user: DEMO_USER, sshKey: DEMO_KEY }

export default config({
  targets: {
    demo: {
      ...(DEMO_PORT === undefined ? here : overSsh),
      name: "demo",
      path: DEMO_PATH,
      builder: DEMO_BUILDER,
      tags: ["demo"],
      afterUnpack: "bin/demo version",
      start: "bin/demo daemon"
    }
  },
  builders: {
    docker: docker({ dockerfile: "Dockerfile", releasePath: "/release" }),
    plain: command({ run: "mkdir -p build && cp -R bin VERSION build/", releasePath: "build" })
  }
})
