defmodule HelloElixir.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    children = [
      {Task.Supervisor, name: HelloElixir.Connections},
      {HelloElixir.Server, Application.fetch_env!(:hello_elixir, :port)}
    ]

    # A listener that fails takes the connections with it.
    Supervisor.start_link(children, strategy: :one_for_all)
  end
end
