import { config, docker } from "effect-deployer"

const port = 4000

export default config({
  targets: {
    prod: {
      host: "app1.example.com",
      user: "deploy",
      name: "hello_elixir",
      // In the login folder of the user. Absolute paths are possible.
      path: "hello_elixir",

      // With systemd: "sudo systemctl restart hello_elixir".
      start: `PORT=${port} bin/service start`,
      stop: "bin/service stop",
      restart: `PORT=${port} bin/service restart`,

      // The host itself sends this request. If no good answer comes in time, the previous release is live again.
      health: { http: `http://127.0.0.1:${port}/health`, timeout: "20 seconds" },
      keep: 3
    }
  },
  builders: {
    // The build downloads nothing, so it has no network.
    prod: docker({ args: ["--network", "none"], releasePath: "/app/_build/prod/rel" })
  }
})
