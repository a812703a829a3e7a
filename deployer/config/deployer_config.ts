// The config that `npm run demo` shows and uses. The demo sets the DEMO_ variables: it says which builder and which host it found.
import { command, config, docker } from "effect-deployer"

const { DEMO_BUILDER = "plain", DEMO_HOST = "local", DEMO_PATH = "deployer_demo", DEMO_PORT = "4000" } = process.env

export default config({
  targets: {
    demo: {
      host: DEMO_HOST,
      name: "demo",
      path: DEMO_PATH,
      builder: DEMO_BUILDER,
      restart: `bin/demo restart ${DEMO_PORT}`,
      health: { http: `http://127.0.0.1:${DEMO_PORT}/health`, timeout: "3 seconds", interval: "250 millis" }
    }
  },
  builders: {
    docker: docker({ args: ["--quiet"], releasePath: "/release" }),
    plain: command({ run: "mkdir -p build && cp -R bin server.js data VERSION build/", releasePath: "build" })
  }
})
