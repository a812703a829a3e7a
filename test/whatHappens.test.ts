/** "What happens when…" of docs/guarantees.md: an existing test shows each of its sentences. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"

const root = join(import.meta.dirname, "..")
const read = (file: string) => readFileSync(join(root, file), "utf8")

/** The beginnings of the sentences, each with a test's file and words of its title. */
const shown: ReadonlyArray<readonly [sentence: string, file: string, title: string]> = [
  [
    "The connection is lost or somebody presses Ctrl-C",
    "test/commands/deploy.test.ts",
    "before any step leaves it or the new one; a plain deploy mends it."
  ],
  ["The deployer, the shell on the host or the connection is killed", "test/kit/crashes.ts", "A crash at any place of"],
  [
    "An upload is interrupted",
    "test/commands/deploy.test.ts",
    "Deploy resumes its own upload and sends only the missing part."
  ],
  [
    "Most of a release is on the host already",
    "test/commands/deploy.test.ts",
    "Deploy takes unchanged files from releases on the host and sends the rest, as planned."
  ],
  ["A file changed a little", "test/commands/deploy.test.ts", "Deploy sends only the new parts of a changed file."],
  [
    "A file on the host that a new release would reuse",
    "test/commands/deploy.test.ts",
    "Deploy resumes a cut upload, and sends the whole release if the host's files have changed."
  ],
  [
    "A byte of a release changes on its way",
    "test/real/damage.test.ts",
    "Damage on the way to the host never changes the files of a release that is accepted."
  ],
  [
    "The disk is full at any step",
    "test/real/disk.test.ts",
    ", deploy keeps the old release, and the next deploy succeeds."
  ],
  [
    "Two people deploy at once",
    "test/commands/locking.test.ts",
    "The lock lets one deployment work at a time; other commands name its holder and end with status 4."
  ],
  [
    "A deployer dies silently",
    "test/commands/locking.test.ts",
    "A lock without a sign of life for a minute is taken over; one with signs of life never is."
  ],
  ["SIGINT, SIGTERM or SIGHUP", "test/real/signals.test.ts", "SIGINT, SIGTERM or SIGHUP at a remote step"],
  [
    "`current` is read during a switch",
    "test/real/switch.test.ts",
    "A reader always finds one whole release while current is switched"
  ],
  [
    "The new release is not healthy",
    "test/commands/goLive.test.ts",
    "fails, deploy restores, restarts and checks the previous one (status 5)."
  ],
  [
    "There is nothing to go back to",
    "test/commands/goLive.test.ts",
    "If the first release fails, deploy takes the link away, because there is nothing to go back to."
  ],
  ["A host loses power", "test/real/powerCut.test.ts", "After a power failure at"],
  [
    "A folder with a release's name has no record",
    "test/commands/deploy.test.ts",
    "A release that is live without a record is proven by the store, and sent again if its files are empty."
  ],
  ["The journal has a million lines", "test/real/journal.test.ts", "A journal of a million lines"],
  [
    "The journal's end is damaged",
    "test/real/journal.test.ts",
    "A pin after a journal that a power cut left with NUL bytes"
  ],
  [
    "Somebody made the link `current` by hand",
    "test/host/contract.ts",
    "A link that leads to a release counts as that release"
  ],
  [
    "A folder has a release's name, but",
    "test/host/contract.ts",
    "A folder that is named like a release and has no manifest"
  ],
  ["A removal is interrupted", "test/real/local.test.ts", "A removal that was cut is written to the journal"],
  ["Files of another user", "test/real/local.test.ts", "Files that may not be removed are named once"],
  [
    "Commands of `afterUnpack` changed a release",
    "test/host/contract.ts",
    "Verification expects the changes that commands made to a release, and no others."
  ],
  [
    "A live release is damaged",
    "test/commands/manage.test.ts",
    "Manage integrity -f keeps the live release and the way back, and says how to put their files right."
  ],
  ["The login shell of a host waits", "test/real/ssh.test.ts", "A login shell that waits for something is soon named"],
  [
    "A key is unlocked, or a host's key accepted",
    "test/real/ssh.test.ts",
    "A private key that was unlocked once needs no passphrase"
  ],
  ["The folder of a target passes its group on", "test/real/local.test.ts", "hands its group down to releases"],
  [
    "The journal of a target belongs to somebody else",
    "test/real/local.test.ts",
    "A shared folder is refused at the first look if the journal in it is somebody else's"
  ],
  ["A large upload resumes", "test/real/local.test.ts", "An upload resumes even if the host rereads its beginning"],
  ["The host's program for SHA-256", "test/real/local.test.ts", "A SHA-256 program that finds nothing wrong"],
  [
    "The rollback fails as well",
    "test/commands/goLive.test.ts",
    "Deploy ends with status 6 if going back fails as well."
  ],
  [
    "A release failed on this host before",
    "test/commands/goLive.test.ts",
    "A release that failed is no longer offered; if it is named, deploy asks, and retry deploys it."
  ],
  [
    "The deployer is killed while a dead-man's switch",
    "test/real/goLive.test.ts",
    "The host goes back by itself if the deployer is killed"
  ],
  [
    "The host goes back before",
    "test/commands/goLive.test.ts",
    "The host goes back by itself if a release is not confirmed in time, and deploy says so."
  ],
  [
    "The connection is lost after the switch",
    "test/commands/goLive.test.ts",
    "If the connection is lost after the switch, the next deploy does the remaining steps."
  ],
  [
    "The journal cannot be written",
    "test/commands/deploy.test.ts",
    "A deployment succeeds with a warning if the journal cannot be written."
  ],
  [
    "A record on the host is damaged",
    "test/commands/deploy.test.ts",
    "A damaged record on the host is reported without control characters and does not hold up deploy."
  ],
  [
    "The link, the journal, the records or the folders",
    "test/commands/repair.test.ts",
    "After any mishaps, repair makes journal, link and folders agree, or names each problem left"
  ],
  ["`repair`, `adopt` or a deployment that prunes", "test/kit/crashes.ts", "deploy with keep"],
  [
    "The disk is full to the last byte",
    "test/real/disk.test.ts",
    "A disk that is full lets a rollback and a removal succeed."
  ],
  [
    "Something is mounted in a release",
    "test/real/foreignFiles.test.ts",
    "A release in which something is mounted is not removed, and the sentence names the mount."
  ],
  [
    "A login may not read files of a release",
    "test/real/foreignFiles.test.ts",
    "A login that may not read the journal is told so, and cannot take the lock."
  ],
  [
    "A release lacks files when a rollback",
    "test/commands/manage.test.ts",
    "A release that lacks files cannot become live by rollback or ln, and the message says how to mend it."
  ],
  [
    "The release to go back to lacks files",
    "test/commands/goLive.test.ts",
    "A deployment that fails goes back to the nearest earlier release that is whole."
  ],
  [
    "Somebody makes another release current before",
    "test/commands/goLive.test.ts",
    "If somebody makes another release current before"
  ],
  [
    "A line in the middle of the journal is damaged",
    "test/commands/repair.test.ts",
    "A line of the journal that is damaged later is noticed, even if a repair follows it."
  ],
  [
    "A dependency of the releases is down",
    "test/commands/repair.test.ts",
    "Repair does not go further back while a dependency is down, and blames no healthy release."
  ],
  [
    "The folder of the local store is empty",
    "test/store/ReleaseStore.test.ts",
    "No entry is cleared if another folder takes the place"
  ],
  ["A real directory is in the place of", "test/commands/adopt.test.ts", "Manage adopt makes a release of"],
  [
    "Somebody else's files are next to",
    "test/host/contract.ts",
    "Files that are not deployer's survive adopt, deploy, discard, prune, integrity and repair."
  ],
  ["The host's clock is a day off", "test/host/clock.test.ts", "If the only clock jumps back a day"],
  [
    "The host changed after a plan was saved",
    "test/commands/apply.test.ts",
    "Apply refuses a plan if anything was done to the host since, and changes nothing."
  ]
]

describe("What happens when…", () => {
  const [section = ""] = read("docs/guarantees.md").split("\n## ")
  const sentences = section
    .split("\n")
    .filter((line) => line.startsWith("- "))
    .map((line) => line.slice(2))

  it('Each sentence of "What happens when…" has a test, and no listed test lacks a sentence.', () => {
    assert.isAbove(sentences.length, 15)
    assert.deepStrictEqual(
      sentences.map((sentence) => shown.filter(([begins]) => sentence.startsWith(begins)).length),
      sentences.map(() => 1)
    )
    assert.lengthOf(shown, sentences.length)
  })

  for (const [sentence, file, title] of shown) {
    it(`A test shows the sentence "${sentence} …".`, () => assert.include(read(file), title))
  }
})
