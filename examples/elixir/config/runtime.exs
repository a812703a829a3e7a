import Config

# Read when the release starts, on the host.
config :hello_elixir, port: String.to_integer(System.get_env("PORT", "4000"))
