import { Effect } from "effect"
import { type Builder, config, fromDirectory } from "effect-deployer"

const port = 8080

/** The release is a folder of the project. With a generator: `command({ run: "npm run build", releasePath: "dist" })`. */
const site: Builder = ({ root }) => Effect.succeed(fromDirectory(`${root}/public`))

export default config({
  targets: {
    prod: {
      host: "web1.example.com",
      user: "deploy",
      name: "hello_site",
      // In the login folder of the user. Absolute paths are possible.
      path: "hello_site",
      builder: "site",

      // No restart: the web server follows the link with each request.
      // The host itself sends this request. If no good answer comes in time, the previous release is live again.
      health: { http: `http://127.0.0.1:${port}/index.html`, timeout: "10 seconds" },
      keep: 3
    }
  },
  builders: { site }
})
