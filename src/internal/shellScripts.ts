/**
 * The scripts that let shells complete deployer's command lines. Each calls `deployer complete SHELL`, which prints the candidates.
 */

/** The shells that complete. */
export const shells = ["bash", "zsh", "fish"] as const

/** A shell that completes. */
export type Shell = (typeof shells)[number]

// Bash replaces only the text after the last "=" or ":" of a word, and has a list of these characters in COMP_WORDBREAKS.
const bash = `# Completes deployer in bash. Add this line to ~/.bashrc:
#   eval "$(deployer completions bash)"
_deployer() {
  local candidate
  COMPREPLY=()
  while IFS= read -r candidate; do
    COMPREPLY+=("$candidate")
  done < <("\${1/#"~/"/$HOME/}" complete bash "$COMP_WORDBREAKS" -- "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null </dev/null)
}
complete -o nospace -o nosort -F _deployer deployer 2>/dev/null || complete -o nospace -F _deployer deployer
`

const zsh = `#compdef deployer
# Completes deployer in zsh. Add this line to ~/.zshrc, after compinit if that is there:
#   source <(deployer completions zsh)
_deployer() {
  local value about
  local -a open closed before
  before=("\${(@Q)words[2,CURRENT-1]}")
  while IFS=$'\\t' read -r value about; do
    # In a description, a backslash stands before a colon or a backslash of the value.
    about=\${\${value//\\\\/\\\\\\\\}//:/\\\\:}\${about:+:$about}
    if [[ $value == *[=/] ]]; then open+=("$about"); else closed+=("$about"); fi
  done < <("\${words[1]/#\\~\\//$HOME/}" complete zsh "" -- "\${before[@]}" "\${(Q)PREFIX}" 2>/dev/null </dev/null)
  _describe -V deployer closed
  _describe -V deployer open -S ''
}
if [[ \${funcstack[1]} == _deployer ]]; then
  _deployer "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; }
  compdef _deployer deployer
fi
`

const fish = `# Completes deployer in fish. Run this once:
#   deployer completions fish > ~/.config/fish/completions/deployer.fish
function __deployer_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -e words[1]
    $program complete fish "" -- $words "$current" 2>/dev/null </dev/null
end
complete -c deployer -f -k -a '(__deployer_complete)'
`

const scripts: Readonly<Record<Shell, string>> = { bash, zsh, fish }

/** The script for a shell. It ends with a line break. */
export const completionScript = (shell: Shell): string => scripts[shell]

/** Whether there is a script for it. */
export const isShell = (text: string | undefined): text is Shell => shells.some((shell) => shell === text)
