/**
 * A directory in place of `current` on a host that deployer did not deploy to, and the release made of it.
 */
import type * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { HostRelease, type HostState, nextSerial } from "./HostState.ts"
import { Ref, type ReleaseName, Sha256 } from "./Release.ts"

/** The result of a look at a directory in place of `current`. */
export class Adoption extends Schema.Class<Adoption>("Adoption")({
  /** The first 32 digits of the manifest's SHA-256, in upper case. It is no MD5 of a tarball, because there is no tarball. */
  ref: Ref,
  /** The SHA-256 of the manifest. */
  sha256: Sha256,
  /**
   * Whether its only content is one folder named like the release: then that folder becomes the release, otherwise the whole directory
   * does.
   */
  nested: Schema.Boolean,
  files: Schema.NonNegativeInt,
  /** Bytes of all files. */
  bytes: Schema.NonNegativeInt
}) {}

/** The record of the release made of it. No store has it, so its id is 0. */
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
