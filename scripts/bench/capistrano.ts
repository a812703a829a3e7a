/**
 * The files that capistrano needs to deploy a tarball: its releases come from a plugin of its own.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Bench } from "./Bench.ts"

const capfile = `require "capistrano/setup"
require "capistrano/deploy"
require "capistrano/scm/plugin"

class Tarball < Capistrano::SCM::Plugin
  def register_hooks
    after "deploy:new_release_path", "tarball:create_release"
  end

  def define_tasks
    namespace :tarball do
      task :create_release do
        on release_roles(:all) do
          archive = "#{fetch(:deploy_to)}/release.tar.gz"
          upload! ENV.fetch("tarball"), archive
          execute :mkdir, "-p", release_path
          execute :tar, "xzf", archive, "-C", release_path
          execute :rm, archive
        end
      end
    end
  end
end

install_plugin Tarball
`

const stage = ({ host, env }: Bench): string => `server "${host.host}", roles: %w[app]
set :application, "bench"
set :deploy_to, ENV.fetch("DEPLOY_TO")
set :tmp_dir, ENV.fetch("DEPLOY_TO")
set :format, :simpletext
set :log_level, :error
set :ssh_options, {
  port: ENV.fetch("PORT").to_i,
  user: "${host.user}",
  keys: ["${host.keyFile}"],
  keys_only: true,
  config: false,
  user_known_hosts_file: "${env["HOME"]}/.ssh/known_hosts",
  global_known_hosts_file: "/dev/null"
}
`

/** Writes its files to `capistrano/` in the benchmark's folder. */
export const write = (bench: Bench): void => {
  const folder = join(bench.folder, "capistrano")
  mkdirSync(join(folder, "config/deploy"), { recursive: true })
  writeFileSync(join(folder, "Capfile"), capfile)
  writeFileSync(join(folder, "config/deploy.rb"), "lock false\n")
  writeFileSync(join(folder, "config/deploy/bench.rb"), stage(bench))
}
