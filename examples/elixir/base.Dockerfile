# The base image of a host with Debian 12. A release holds the Erlang that built it, so build and host have the same Debian.
FROM debian:12
RUN apt-get update && \
    apt-get install --yes --no-install-recommends elixir git ca-certificates && \
    rm -rf /var/lib/apt/lists/*
