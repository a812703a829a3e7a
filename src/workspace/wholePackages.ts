/**
 * The packages that a config may import as a whole. The build replaces this module, because these packages have bundles of their own: in the one of
 * the program, all of Effect would be in every command's way.
 */
export const wholePackages: Readonly<Record<string, () => Promise<object>>> = {
  effect: () => import("effect"),
  "@effect/platform": () => import("@effect/platform")
}
