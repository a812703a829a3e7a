/** "What happens when…" of docs/guarantees.md: each of its sentences is shown by a test that is there. */
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
    "that ends before any of its steps leaves the old release or the new one, and a plain deploy mends it:"
  ],
  ["The deployer, the shell on the host or the connection is killed", "test/kit/crashes.ts", "at every place of"],
  ["An upload is cut", "test/commands/deploy.test.ts", "goes on with its own upload and sends only what is missing"],
  [
    "Most of a release is on the host already",
    "test/commands/deploy.test.ts",
    "takes that from there and sends the rest, as its plan says"
  ],
  ["A file changed a little", "test/commands/deploy.test.ts", "sends of a file that changed what is new in it"],
  [
    "A file that a new release would be completed from",
    "test/commands/deploy.test.ts",
    "sends all of it where the host's files are not what they were"
  ],
  [
    "A byte of a release changes on its way",
    "test/real/damage.test.ts",
    "a release that changes on its way lets nothing pass that was not deployed"
  ],
  ["The disk is full, whichever step", "test/real/disk.test.ts", ": a disk"],
  [
    "Two deploy at once",
    "test/commands/locking.test.ts",
    "let one deployment work at a time: the other says whose it is, with status 4, and changes nothing"
  ],
  [
    "A deployer dies without a word",
    "test/commands/locking.test.ts",
    "without a sign of life for a minute are taken over; with signs of life they never are"
  ],
  ["SIGINT, SIGTERM or SIGHUP", "test/real/signals.test.ts", "SIGHUP"],
  ["`current` is read while it is switched", "test/real/switch.test.ts", "reader"],
  [
    "The new release is not healthy",
    "test/commands/goLive.test.ts",
    "fails: the release before is live again, restarted and checked, and the status is 5"
  ],
  [
    "There is nothing to go back to",
    "test/commands/goLive.test.ts",
    "there is nothing to go back to, and the link is taken away"
  ],
  ["The power of a host goes", "test/real/powerCut.test.ts", "leaves a whole release during and after"],
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
  ["Somebody made `current` by hand", "test/host/contract.ts", "A link that leads to a release counts as that release"],
  [
    "A folder is called like a release",
    "test/host/contract.ts",
    "A folder that is called like a release and has no manifest"
  ],
  ["A removal is cut", "test/real/local.test.ts", "A removal that is cut is told of in the journal"],
  ["Files of another user", "test/real/local.test.ts", "Files that may not be removed are named once"],
  [
    "Commands of `afterUnpack` changed a release",
    "test/host/contract.ts",
    "expects what commands made of a release, and nothing else"
  ],
  [
    "A live release is damaged",
    "test/commands/manage.test.ts",
    "-f leaves what is live and the way back from it, and says how their files are put right"
  ],
  [
    "The login shell of a host waits",
    "test/real/ssh.test.ts",
    "is not what is slow if the login shell waits for something, which is said soon"
  ],
  [
    "A key is unlocked, or a host's key accepted",
    "test/real/ssh.test.ts",
    "that were unlocked once need no passphrase again"
  ],
  ["The folder of a target hands its group down", "test/real/local.test.ts", "hands its group down to releases"],
  [
    "The journal of a target belongs to somebody else",
    "test/real/local.test.ts",
    "is refused at the first look if the journal in it is somebody else's"
  ],
  [
    "What arrived of a large upload",
    "test/real/local.test.ts",
    "goes on with an upload although its beginning takes the host longer than a transfer may stand still"
  ],
  ["A program of the host that should verify", "test/real/local.test.ts", "A SHA-256 program that finds nothing wrong"],
  ["Going back fails as well", "test/commands/goLive.test.ts", "going back fails as well: the status is 6"],
  [
    "A release failed on this host before",
    "test/commands/goLive.test.ts",
    "a release that failed is not offered again"
  ],
  [
    "The deployer is killed while a dead-man's switch",
    "test/real/goLive.test.ts",
    "is gone back from by the host itself where the deployer is killed"
  ],
  [
    "The host goes back before",
    "test/commands/goLive.test.ts",
    "goes back by itself where nobody can reach the host again, and the verdict says so"
  ],
  [
    "The connection is lost after the switch",
    "test/commands/goLive.test.ts",
    "the connection is lost meanwhile: the next deploy goes on there"
  ],
  [
    "The journal cannot be written",
    "test/commands/deploy.test.ts",
    "a journal that cannot be written is a warning: the release is live"
  ],
  [
    "A record on the host is damaged",
    "test/commands/deploy.test.ts",
    "takes nothing on trust that stands on the host, and is not held up by it"
  ],
  [
    "Anything happened to the link",
    "test/commands/repair.test.ts",
    "a repair makes journal, link and folders agree, or names what does not"
  ],
  ["`repair`, `adopt` or a deployment that prunes", "test/kit/crashes.ts", "deploy with keep"],
  [
    "The disk is full to the last byte",
    "test/real/disk.test.ts",
    "that is full lets a rollback and a removal through, which is how room is made"
  ],
  [
    "Something is mounted in a release",
    "test/real/foreignFiles.test.ts",
    "A release in which something is mounted is not removed, and the sentence names the mount."
  ],
  [
    "A login may not read files of a release",
    "test/real/foreignFiles.test.ts",
    "A login that may not read the journal is told so, and is told nothing that is not true."
  ],
  [
    "A release that is to become live again lacks files",
    "test/commands/manage.test.ts",
    "does not become live again, by rollback or by hand, and the sentence says how it is put right"
  ],
  [
    "What a release depends on is down",
    "test/commands/repair.test.ts",
    "does not go further back while what it depends on is down, and blames no release that was well"
  ],
  [
    "The folder of the local store is empty",
    "test/store/ReleaseStore.test.ts",
    "but not because another folder is in its place, such as a mount point without its disk"
  ],
  ["A real directory is in the place of", "test/commands/adopt.test.ts", "makes a release of"],
  ["Somebody else's files lie beside", "test/host/contract.ts", "survives everything"],
  [
    "The host's clock is a day off",
    "test/host/clock.test.ts",
    "a day back: a dead holder's lock is taken over a minute after it was first in the way"
  ],
  [
    "The host changed after a plan was saved",
    "test/commands/apply.test.ts",
    "refuses where anything was done to the host since, and changes nothing"
  ]
]

describe("What happens when…", () => {
  const [section = ""] = read("docs/guarantees.md").split("\n## ")
  const sentences = section
    .split("\n")
    .filter((line) => line.startsWith("- "))
    .map((line) => line.slice(2))

  it("has a test for each of its sentences, and no test has none", () => {
    assert.isAbove(sentences.length, 15)
    assert.deepStrictEqual(
      sentences.map((sentence) => shown.filter(([begins]) => sentence.startsWith(begins)).length),
      sentences.map(() => 1)
    )
    assert.lengthOf(shown, sentences.length)
  })

  for (const [sentence, file, title] of shown) {
    it(`${sentence} …`, () => assert.include(read(file), title))
  }
})
