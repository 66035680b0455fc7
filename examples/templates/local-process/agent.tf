resource "coder_agent" "main" {
  os   = data.coder_provisioner.host.os
  arch = data.coder_provisioner.host.arch
  dir  = "${terraform_data.home.output.directory}/home"
  env = {
    WORKSPACE_DIRECTORY = terraform_data.home.output.directory
  }

  metadata {
    key          = "home"
    display_name = "Home"
    script       = "du -sh \"$WORKSPACE_DIRECTORY/home\" | cut -f1"
    interval     = 60
    timeout      = 5
  }
  metadata {
    key          = "process"
    display_name = "Process"
    script       = "cat \"$WORKSPACE_DIRECTORY/process.pid\""
    interval     = 10
    timeout      = 1
  }
}

resource "coder_app" "page" {
  agent_id     = coder_agent.main.id
  slug         = "page"
  display_name = "Workspace page"
  icon         = "/icon/widgets.svg"
  url          = "http://localhost:${local.port}"
  share        = "owner"
  order        = 1
  healthcheck {
    url       = "http://localhost:${local.port}/healthz"
    interval  = 5
    threshold = 6
  }
}

resource "coder_app" "documentation" {
  agent_id     = coder_agent.main.id
  slug         = "documentation"
  display_name = "Template documentation"
  url          = "https://github.com/coder/terraform-provider-coder/tree/main/docs"
  external     = true
  order        = 2
}

resource "coder_script" "prepare" {
  agent_id           = coder_agent.main.id
  display_name       = "Prepare the cache"
  run_on_start       = true
  start_blocks_login = true
  timeout            = 60
  script             = <<-EOT
    #!/bin/sh
    set -eu
    mkdir -p "$WORKSPACE_DIRECTORY/home/.cache"
    echo "the cache is at $WORKSPACE_DIRECTORY/home/.cache"
  EOT
}

# Runs before Terraform takes anything away: the process still answers.
resource "coder_script" "farewell" {
  agent_id     = coder_agent.main.id
  display_name = "Remember the last stop"
  run_on_stop  = true
  timeout      = 10
  script       = <<-EOT
    date > "$WORKSPACE_DIRECTORY/home/.last-stop"
    echo "process $(cat "$WORKSPACE_DIRECTORY/process.pid") still runs"
  EOT
}

resource "coder_env" "greeting" {
  agent_id = coder_agent.main.id
  name     = "GREETING"
  value    = data.coder_parameter.greeting.value
}

# Two parts of one variable: the strategies say how they meet.
resource "coder_env" "path" {
  agent_id = coder_agent.main.id
  name     = "PATH"
  value    = "/usr/local/bin:/usr/bin:/bin"
}

resource "coder_env" "path_of_home" {
  agent_id       = coder_agent.main.id
  name           = "PATH"
  value          = "${terraform_data.home.output.directory}/home/bin"
  merge_strategy = "prepend"
}
