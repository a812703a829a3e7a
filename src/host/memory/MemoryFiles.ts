/**
 * A small file system in memory: files, directories and symbolic links by absolute path.
 */

/** The node at a path. */
export type MemoryNode =
  | { readonly _tag: "File"; readonly content: Uint8Array; readonly mode: number }
  | { readonly _tag: "Directory" }
  | { readonly _tag: "Link"; readonly to: string }

const directory: MemoryNode = { _tag: "Directory" }

/** The files of one host in memory. Paths are absolute and go through links, as on a real host. */
export class MemoryFiles {
  private readonly nodes = new Map<string, MemoryNode>([["/", directory]])
  /** Called after each change with the changed path, free of links, for a test that must see every change. */
  onChange: (path: string) => void = () => {}

  /** Resolves the links in a path, except in its last part if `follow` is false. Undefined for loops and for paths through files. */
  resolve(path: string, follow = true): string | undefined {
    let rest = path.split("/")
    let at: ReadonlyArray<string> = []
    for (let turn = 0; rest.length > 0; turn++) {
      if (turn > 1000) return undefined
      const [part = "", ...later] = rest
      rest = later
      if (part === "" || part === ".") continue
      const here = this.nodes.get(`/${at.join("/")}`)
      if (here !== undefined && here._tag !== "Directory") return undefined
      if (part === "..") {
        at = at.slice(0, -1)
        continue
      }
      const node = this.nodes.get(`/${[...at, part].join("/")}`)
      if (node?._tag === "Link" && (follow || rest.some((more) => more !== ""))) {
        if (node.to.startsWith("/")) at = []
        rest = [...node.to.split("/"), ...rest]
      } else {
        at = [...at, part]
      }
    }
    return `/${at.join("/")}`
  }

  /** The node at a path. Does not follow a link. */
  node(path: string): MemoryNode | undefined {
    const real = this.resolve(path, false)
    return real === undefined ? undefined : this.nodes.get(real)
  }

  /** The node that a path leads to. Follows links. */
  target(path: string): MemoryNode | undefined {
    const real = this.resolve(path)
    return real === undefined ? undefined : this.nodes.get(real)
  }

  /** The bytes of a file. Undefined if there is none. */
  bytes(path: string): Uint8Array | undefined {
    const node = this.target(path)
    return node?._tag === "File" ? node.content : undefined
  }

  /** The text of a file. Undefined if there is none. */
  read(path: string): string | undefined {
    const bytes = this.bytes(path)
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
  }

  /** The text of a link. Undefined if there is none. */
  readLink(path: string): string | undefined {
    const node = this.node(path)
    return node?._tag === "Link" ? node.to : undefined
  }

  /** Writes a file, and makes the directories above it. Returns false if something is in the way. */
  write(path: string, content: string | Uint8Array, mode = 0o644): boolean {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content
    return this.put(this.resolve(path), { _tag: "File", content: bytes, mode })
  }

  /** Makes a link, and the directories above it. Returns false if something is in the way. */
  link(path: string, to: string): boolean {
    return this.put(this.resolve(path, false), { _tag: "Link", to })
  }

  /** Makes a directory and those above it. Returns false if something is in the way. */
  makeDirectory(path: string): boolean {
    const real = this.resolve(path)
    if (real === undefined) return false
    const node = this.nodes.get(real)
    return node === undefined ? this.put(real, directory) : node._tag === "Directory"
  }

  /** The names in a directory, sorted. */
  names(path: string): ReadonlyArray<string> {
    const real = this.resolve(path)
    if (real === undefined) return []
    const prefix = real === "/" ? "/" : `${real}/`
    return [...this.nodes.keys()]
      .filter((key) => key !== "/" && key.startsWith(prefix) && !key.slice(prefix.length).includes("/"))
      .map((key) => key.slice(prefix.length))
      .sort()
  }

  /** All paths below a directory, relative to it, with their nodes, sorted. */
  below(path: string): ReadonlyArray<readonly [path: string, node: MemoryNode]> {
    const prefix = `${this.resolve(path) ?? ""}/`
    return [...this.nodes]
      .filter(([key]) => key.startsWith(prefix) && key !== prefix)
      .map(([key, node]) => [key.slice(prefix.length), node] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /** Removes the node at a path: a directory with its contents, a link itself. */
  remove(path: string): void {
    const real = this.resolve(path, false)
    if (real === undefined || !this.nodes.has(real)) return
    for (const key of [...this.nodes.keys()]) {
      if (key === real || key.startsWith(`${real}/`)) this.nodes.delete(key)
    }
    this.onChange(real)
  }

  /** Gives a file, link or directory another path. */
  rename(from: string, to: string): void {
    const source = this.resolve(from, false)
    const destination = this.resolve(to, false)
    if (source === undefined || destination === undefined) return
    const moved = [...this.nodes].filter(([key]) => key === source || key.startsWith(`${source}/`))
    this.remove(destination)
    for (const [key, node] of moved) {
      this.nodes.delete(key)
      this.nodes.set(`${destination}${key.slice(source.length)}`, node)
    }
    this.onChange(source)
    this.onChange(destination)
  }

  private put(real: string | undefined, node: MemoryNode): boolean {
    if (real === undefined || real === "/") return false
    const parent = real.slice(0, real.lastIndexOf("/")) || "/"
    const above = this.nodes.get(parent)
    if (above === undefined ? !this.put(parent, directory) : above._tag !== "Directory") return false
    const old = this.nodes.get(real)
    if (old?._tag === "Directory") return node._tag === "Directory"
    this.nodes.set(real, node)
    this.onChange(real)
    return true
  }
}
