defmodule HelloElixir.Server do
  @moduledoc "A small HTTP server: one request for each connection."
  use Task, restart: :permanent

  def start_link(port), do: Task.start_link(__MODULE__, :listen, [port])

  def listen(port) do
    options = [:binary, packet: :http_bin, active: false, reuseaddr: true, ip: {127, 0, 0, 1}]
    {:ok, listener} = :gen_tcp.listen(port, options)
    accept(listener)
  end

  defp accept(listener) do
    {:ok, socket} = :gen_tcp.accept(listener)
    {:ok, pid} = Task.Supervisor.start_child(HelloElixir.Connections, fn -> serve(socket) end)
    # The connection ends with its process.
    :gen_tcp.controlling_process(socket, pid)
    accept(listener)
  end

  defp serve(socket) do
    with {:ok, {:http_request, _method, {:abs_path, path}, _version}} <- receive_line(socket),
         :ok <- skip_headers(socket) do
      {status, text} = HelloElixir.answer(path)

      :gen_tcp.send(socket, [
        "HTTP/1.1 #{status} Answer\r\n",
        "content-type: text/plain\r\n",
        "content-length: #{byte_size(text)}\r\n",
        "connection: close\r\n\r\n",
        text
      ])
    end

    :gen_tcp.close(socket)
  end

  defp skip_headers(socket) do
    case receive_line(socket) do
      {:ok, :http_eoh} -> :ok
      {:ok, {:http_header, _, _, _, _}} -> skip_headers(socket)
      _ -> :error
    end
  end

  defp receive_line(socket), do: :gen_tcp.recv(socket, 0, 5_000)
end
