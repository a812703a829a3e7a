/**
 * Values of the domain for tests. They are complete, so a test names only the fields that it is about.
 */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { HostRelease, HostState } from "../../src/domain/HostState.ts"
import { JournalEntry } from "../../src/domain/Journal.ts"
import { Metadata, Release } from "../../src/domain/Release.ts"
import { type Target, TargetSettings } from "../../src/domain/Target.ts"

/** A ref made of one hex digit. */
export const refOf = (digit: string): string => digit.repeat(32)

const when = DateTime.unsafeMake("2026-01-02T03:04:05Z")

export const release = (fields: Partial<ConstructorParameters<typeof Release>[0]> = {}): Release =>
  Release.make({
    id: 1,
    name: "my_app",
    ref: refOf("A"),
    sha256: "a".repeat(64),
    size: 1000,
    tags: ["prod", "latest"],
    createdAt: when,
    metadata: Metadata.make({}),
    ...fields
  })

export const hostRelease = (fields: Partial<ConstructorParameters<typeof HostRelease>[0]> = {}): HostRelease =>
  HostRelease.make({
    name: "my_app",
    ref: refOf("A"),
    sha256: "a".repeat(64),
    size: 1000,
    tags: ["prod"],
    createdAt: when,
    deployedAt: when,
    serial: 1,
    id: 1,
    ...fields
  })

export const hostState = (fields: Partial<ConstructorParameters<typeof HostState>[0]> = {}): HostState =>
  HostState.make({
    path: "/srv/my_app",
    base: "ready",
    current: { _tag: "Absent" },
    releases: [],
    unfinished: [],
    missingTools: [],
    freeBytes: 1_000_000,
    machine: "x86_64",
    ...fields
  })

export const journalEntry = (fields: Partial<ConstructorParameters<typeof JournalEntry>[0]> = {}): JournalEntry =>
  JournalEntry.make({
    event: "switched",
    at: when,
    by: "tester@laptop",
    release: { name: "my_app", ref: refOf("A") },
    ...fields
  })

export const target = (fields: Partial<typeof TargetSettings.Encoded> = {}): Target => ({
  ...Schema.decodeSync(TargetSettings)({
    host: "host.test",
    user: "deploy",
    name: "my_app",
    path: "/srv/my_app",
    ...fields
  }),
  key: "prod"
})
