/**
 * What stands in the place of `current` on a host that deployer did not deploy to, and the release that becomes of it.
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { HostRelease, type HostState, nextSerial } from "./HostState.ts"
import { Ref, type ReleaseName, Sha256 } from "./Release.ts"

/** A directory in the place of `current`, as it was looked at. */
export class Adoption extends Schema.Class<Adoption>("Adoption")({
  /** The first 32 digits of the manifest's SHA-256, in upper case: it is no MD5 of a tarball, since there is none. */
  ref: Ref,
  /** That of the manifest. */
  sha256: Sha256,
  /** Whether all of it is one folder named like the release: then that one is the release's, otherwise the whole is. */
  nested: Schema.Boolean,
  files: Schema.NonNegativeInt,
  /** Bytes of all files. */
  bytes: Schema.NonNegativeInt
}) {}

/** The record of the release that it becomes: no store has it, so its id is 0. */
export const adoptedRecord = (
  { bytes, ref, sha256 }: Adoption,
  name: typeof ReleaseName.Type,
  state: HostState,
  at: DateTime.Utc
): HostRelease =>
  HostRelease.make({
    name,
    ref,
    sha256,
    size: bytes,
    tags: [],
    createdAt: at,
    deployedAt: at,
    serial: nextSerial(state),
    id: 0
  })
