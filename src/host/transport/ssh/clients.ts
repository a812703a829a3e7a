/**
 * The two clients of SSH: deployer's own, and the system's `ssh`, which is slower to start but knows every key and setting that the user relies on.
 */
import { join } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { outputOf } from "../../../internal/pipes.ts"
import type { Prompt } from "../../../terminal/Prompt.ts"
import { detail } from "../../../terminal/Reporter.ts"
import type { ConnectFailure } from "../../RemoteHost.ts"
import type { Connection } from "./Connection.ts"
import * as KnownHosts from "./KnownHosts.ts"
import { keepOnSuccess } from "./keepOnSuccess.ts"
import * as OpenSsh from "./OpenSsh.ts"
import { lastHop } from "./SshConfig.ts"
import { connectTo, type Login, maxHops } from "./SshConnection.ts"
import { findPlace, type NamedKey, type Place, readIfThere } from "./SshPlace.ts"
import { SshSettings } from "./SshSettings.ts"
import { isUncommon } from "./ssh2.ts"

/** Connects and authenticates with a client. `auto`: with deployer's own one, unless only the system's `ssh` can do it and is installed. */
export const connectWith = (
  client: "auto" | "ssh2" | "openssh",
  login: Login
): Effect.Effect<Connection, ConnectFailure, Scope.Scope | Prompt | FileSystem.FileSystem> => {
  switch (client) {
    case "ssh2":
      return connectTo(login)
    case "openssh":
      return OpenSsh.connectTo(login)
    case "auto":
      return connectBest(login)
  }
}

const connectBest = (login: Login) =>
  Effect.gen(function* () {
    const places = yield* findPlaces(login)
    const reason = yield* reasonOf(login, places)
    if (reason !== undefined && (yield* isInstalled)) return yield* switched(login, reason)
    return yield* connectTo(login).pipe(
      keepOnSuccess,
      Effect.catchAll((failure) =>
        Effect.gen(function* () {
          const reason = yield* reasonAfter(failure, places)
          if (reason === undefined || !(yield* isInstalled)) return yield* Effect.fail(failure)
          return yield* Effect.mapError(switched(login, reason), (second) =>
            // Otherwise the second client cannot log in either.
            second._tag === "HostKeyRejected" ? second : failure
          )
        })
      )
    )
  })

const switched = (login: Login, reason: string) =>
  Effect.zipRight(detail(`ssh: ${login.address} needs the system's ssh, because ${reason}`), OpenSsh.connectTo(login))

const isInstalled = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folders = (process.env["PATH"] ?? "").split(":").filter((folder) => folder !== "")
  return yield* Effect.exists(folders, (folder) => Effect.orElseSucceed(fs.exists(join(folder, "ssh")), () => false))
})

/** The host and its jump hosts, as ssh_config describes them. */
const findPlaces = ({ asked }: Login) =>
  Effect.gen(function* () {
    const places = [yield* findPlace(asked)]
    for (const place of places) {
      const hop = place.proxy?._tag === "Jump" ? lastHop(place.proxy.hosts) : undefined
      if (hop !== undefined && places.length <= maxHops) places.push(yield* findPlace(hop))
    }
    return places
  })

/** The reason why only the system's `ssh` can do it, as far as the files show. Undefined if there is none. */
const reasonOf = (login: Login, places: ReadonlyArray<Place>) =>
  Effect.gen(function* () {
    const { hostKey } = login
    if (places[0]?.sharesConnections === true && (yield* isInstalled)) {
      const socket = yield* OpenSsh.findMaster(login)
      if (socket !== undefined) return `the ssh at ${socket} is connected to it already`
    }
    const [unfollowed] = places.flatMap((place) => place.unfollowed)
    if (unfollowed !== undefined) return `deployer's own SSH does not follow ${unfollowed}`
    for (const [index, place] of places.entries()) {
      if (index === 0 && hostKey !== undefined) continue
      const { host, port } = place.knownAs
      for (const file of [...place.knownHostsFiles, ...place.globalKnownHostsFiles])
        if (KnownHosts.hasAuthority(yield* readIfThere(file), host, port))
          return `${file} trusts a certificate authority for ${host}`
    }
    return undefined
  })

/** The reason why the system's `ssh` may succeed after a failure. Undefined if there is none. */
const reasonAfter = (failure: ConnectFailure, places: ReadonlyArray<Place>) =>
  Effect.gen(function* () {
    switch (failure._tag) {
      case "HostUnreachable":
        return failure.reason === "protocol" && isUncommon(failure.detail)
          ? "the host and deployer's own SSH have no algorithm in common"
          : undefined
      case "KeyUnusable":
        return failure.reason === "not-a-key" ? `deployer's own SSH cannot read ${failure.file}` : undefined
      case "KeyVariableUnusable":
        return failure.reason === "not-a-key" ? `deployer's own SSH cannot read ${failure.variable}` : undefined
      case "AuthenticationFailed": {
        const { isPartial, methods = [] } = failure
        if (isPartial === true || (methods.length > 0 && !methods.includes("publickey")))
          return `the host requires ${methods.join(" or ")}`
        return methods.includes("gssapi-with-mic") ? "the host accepts Kerberos tickets" : yield* otherKey(places)
      }
      default:
        return undefined
    }
  })

/** A certificate, or a key on a hardware token, which ssh2 cannot use. Undefined if there is none. */
const otherKey = (places: ReadonlyArray<Place>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { homeDir } = yield* SshSettings
    const isFile = (key: NamedKey) => key._tag === "File"
    const files = places.flatMap(({ keys, named }) => [
      ...keys.filter(isFile).map(({ file }) => `${file}-cert.pub`),
      ...(named ? [] : ["id_ed25519_sk", "id_ecdsa_sk"].map((name) => `${homeDir}/.ssh/${name}`))
    ])
    for (const file of files)
      if (yield* Effect.orElseSucceed(fs.exists(file), () => false)) return `deployer's own SSH cannot use ${file}`
    const [socket] = places.flatMap(({ agentSocket }) => (agentSocket === undefined ? [] : [agentSocket]))
    if (socket === undefined) return undefined
    const keys = yield* outputOf("ssh-add", ["-L"], { SSH_AUTH_SOCK: socket })
    return /^(sk-|\S+-cert-v01@)/m.test(keys) ? "ssh-agent holds a key that deployer's own SSH cannot use" : undefined
  })
