import { execFile } from "node:child_process"
import { symlinkSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { dialScript } from "../../src/host/transport/ContainerTransport.ts"
import { listen } from "../kit/listen.ts"
import { freePort } from "../kit/sshd.ts"
import { emptyFolder, missingBusybox } from "../kit/userland.ts"

/** The answer to a request over the script, with nothing but BusyBox's programs. */
const dialled = (PATH: string, port: number) =>
  Effect.promise(
    () =>
      new Promise<string>((resolve) => {
        const child = execFile(
          join(PATH, "sh"),
          ["-c", dialScript, "sh", "127.0.0.1", String(port)],
          { env: { PATH } },
          (_error, stdout) => resolve(stdout)
        )
        child.stdin?.end("GET / HTTP/1.0\r\n\r\n")
      })
  )

describe("a container without bash", { skip: missingBusybox !== undefined }, () => {
  it.live("A container without bash is dialled with nc, which tells a refused connection from an open one.", () =>
    Effect.gen(function* () {
      const path = yield* emptyFolder("bin")
      for (const name of ["sh", "nc", "sleep"]) symlinkSync("/bin/busybox", join(path, name))
      const port = yield* listen("HTTP/1.0 200 OK\r\n\r\nwell")
      assert.strictEqual(yield* dialled(path, port), "connected\nHTTP/1.0 200 OK\r\n\r\nwell")
      assert.strictEqual(yield* dialled(path, yield* Effect.promise(freePort)), "nc: connection refused\n")
    }).pipe(Effect.scoped)
  )
})
