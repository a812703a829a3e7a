/** Control tests: the crash tests notice when a protection is taken out. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Deed } from "../kit/crash.ts"
import { crashing, gnu, pointsOf, scenarios, suite, World, world } from "../kit/crashes.ts"
import type { Mutations } from "../kit/mutant.ts"
import { missingSshd } from "../kit/sshd.ts"

const [controls, controlsTitle] = suite("GNU", missingSshd)
controls(`crashes on a host with ${controlsTitle}, without a protection,`, () => {
  layer(world(gnu.make), { excludeTestServices: true, timeout: "5 minutes" })("are noticed:", (it) => {
    /** A test without a protection; its title is a whole sentence. */
    const noticed = (
      title: string,
      options: {
        readonly scenario: string
        readonly at: (place: { readonly name: string; readonly program: string; readonly when: string }) => boolean
        readonly deed: Deed
        readonly mutations: Mutations
        readonly says: RegExp
      }
    ) =>
      it.effect(title, () =>
        Effect.gen(function* () {
          const { inProcess } = yield* World
          const scenario = scenarios.find((one) => one.title === options.scenario) ?? assert.fail()
          const cases = (yield* pointsOf(scenario))
            .filter(({ name, program, when }) => options.at({ name, program: program?.name ?? "", when }))
            .map((point) => ({ point, deed: options.deed }))
          assert.isAbove(cases.length, 0)
          assert.deepStrictEqual(yield* crashing(scenario, cases, inProcess), [])
          const mutated = (line: string) => inProcess(line, options.mutations)
          const found = yield* crashing(scenario, cases, mutated)
          assert.match(found.join("\n"), options.says)
        })
      )

    noticed("The crash tests notice a switch that removes the link first.", {
      scenario: "ln",
      at: ({ name, program, when }) => name === "activate" && program === "mv" && when === "before",
      deed: "shell",
      mutations: { activate: [['mv -fT "$2" current', '{ rm -f current; mv -fT "$2" current; }']] },
      says: /current leads to nothing at that moment[\s\S]*current leads to nothing after the crash/
    })
    noticed("The crash tests notice a release that gets its name before it is whole.", {
      scenario: "deploy",
      at: ({ name, program }) => name === "stage" && program === "tar",
      deed: "shell",
      mutations: {
        stage: [
          ['mkdir "$tree" "$notes"', 'mkdir "$folder" "$notes" && ln -s "../$folder" "$tree"'],
          ['mv "$tree" "$folder"', "true"]
        ],
        // The next deployment would look.
        verify: [['say "verdict $ref"', 'say "verdict $ref"; continue']]
      },
      says: /is not whole: .* after the next deploy/
    })
    noticed("The crash tests notice a late switch that nobody stops.", {
      scenario: "ln",
      at: ({ name, program, when }) => name === "activate" && program === "mv" && when === "before",
      deed: "late",
      mutations: { lock: [['"$releases"/.current.*', '"$releases"/.none.*']] },
      says: /current leads to deployer_[0-9A-F]+ after the late step/
    })
    noticed("The crash tests notice a lock that is taken for nobody.", {
      scenario: "ln",
      at: ({ name, program, when }) => name === "lock" && program === "ln" && when === "after",
      deed: "kill",
      mutations: { lock: [['trap "" HUP PIPE', ":"]] },
      says: /the lock is still taken/
    })
    noticed("The crash tests notice an adoption that takes a link for a directory.", {
      scenario: "adopt",
      at: ({ name, program, when }) => name === "adopt" && program === "mv" && when === "before",
      deed: "late",
      mutations: {
        adopt: [
          ['perl -e "rename shift, shift or exit 1; rename shift, shift or exit 1" current/', "false"],
          ['mv $flag current/ "$content"', 'mv current "$content"']
        ]
      },
      says: /current leads to nothing after the late step/
    })
    noticed("The crash tests notice leftovers that nobody sweeps.", {
      scenario: "prune",
      at: ({ name, program, when }) => name === "remove" && program === "mv" && when === "after",
      deed: "shell",
      mutations: { lock: [['wipe "$trash"', ":"]] },
      says: /left over: \.trash_/
    })
  })
})
