defmodule HelloElixir do
  @moduledoc "The answer to each path: a status and a text."

  def answer("/"), do: {200, "Hello from Elixir\n"}
  def answer("/health"), do: {200, "well\n"}
  def answer(_), do: {404, "not found\n"}
end
