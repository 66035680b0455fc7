terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = "2.20.0"
    }
  }
}

# The measured template of spec 02 §4.10, extended by what an import reads (§2.3–2.7).

variable "region" {
  type        = string
  description = "Where the machines stand."
  default     = "eu"
}

variable "registry_password" {
  type      = string
  sensitive = true
  default   = "hunter2-hunter2"
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}

data "coder_workspace_tags" "tags" {
  tags = {
    "cluster" = "dev"
    "region"  = var.region
  }
}

data "coder_external_auth" "git" {
  id       = "github"
  optional = true
}

data "coder_parameter" "cpu" {
  name        = "cpu"
  type        = "number"
  default     = 2
  mutable     = true
  order       = 2
  description = "Number of cores"
  validation {
    min       = 1
    max       = 8
    monotonic = "increasing"
  }
}

data "coder_parameter" "flavour" {
  name         = "flavour"
  display_name = "Flavour"
  default      = "small"
  order        = 1
  option {
    name  = "Small"
    value = "small"
  }
  option {
    name        = "Large"
    value       = "large"
    description = "More of it"
    icon        = "/icon/large.svg"
  }
}

data "coder_parameter" "debug" {
  name      = "debug"
  type      = "bool"
  default   = "false"
  mutable   = true
  ephemeral = true
}

data "coder_workspace_preset" "standard" {
  name        = "standard"
  description = "For most people"
  default     = true
  parameters = {
    cpu     = "2"
    flavour = "large"
  }
  prebuilds {
    instances = 2
    expiration_policy {
      ttl = 86400
    }
    scheduling {
      timezone = "UTC"
      schedule {
        cron      = "* 8-18 * * 1-5"
        instances = 5
      }
      schedule {
        cron      = "* 8-14 * * 6"
        instances = 1
      }
    }
  }
}

data "coder_workspace_preset" "plain" {
  name = "plain"
  parameters = {
    flavour = "small"
  }
}

resource "coder_agent" "main" {
  os             = "linux"
  arch           = "amd64"
  dir            = "/home/dev"
  startup_script = "echo start"
  env = {
    PATH = "/base"
    FOO  = "bar"
  }
  metadata {
    key          = "load"
    display_name = "Load"
    script       = "uptime"
    interval     = 10
    timeout      = 2
    order        = 1
  }
  resources_monitoring {
    memory {
      enabled   = true
      threshold = 80
    }
    volume {
      enabled   = true
      path      = "/home"
      threshold = 90
    }
  }
}

resource "coder_agent" "second" {
  count = data.coder_workspace.me.start_count
  os    = "linux"
  arch  = "arm64"
  display_apps {
    vscode          = false
    vscode_insiders = true
    ssh_helper      = true
  }
}

resource "terraform_data" "volume" {
  input = "home"
  lifecycle {
    ignore_changes = all
  }
}

resource "terraform_data" "container" {
  count = data.coder_workspace.me.start_count
  input = {
    token    = coder_agent.main.token
    volume   = terraform_data.volume.id
    password = var.registry_password
  }
  triggers_replace = data.coder_workspace_owner.me.name
}

resource "terraform_data" "vm2" {
  count = data.coder_workspace.me.start_count
  input = coder_agent.second[0].token
}

resource "coder_metadata" "container" {
  count       = data.coder_workspace.me.start_count
  resource_id = terraform_data.container[0].id
  daily_cost  = 20
  icon        = "/icon/container.svg"
  item {
    key   = "image"
    value = "debian"
  }
  item {
    key       = "pw"
    value     = "secret-value"
    sensitive = true
  }
  item {
    key = "nul"
  }
}

resource "coder_metadata" "volume" {
  resource_id = terraform_data.volume.id
  hide        = true
  daily_cost  = 5
}

resource "coder_app" "code" {
  agent_id = coder_agent.main.id
  slug     = "code"
  url      = "http://localhost:8080"
  healthcheck {
    url       = "http://localhost:8080/healthz"
    interval  = 5
    threshold = 6
  }
}

resource "coder_app" "cmd" {
  agent_id     = coder_agent.main.id
  slug         = "cmd"
  display_name = "Command"
  command      = "htop"
  order        = 3
  group        = "Tools"
  tooltip      = "Shows **processes**"
}

resource "coder_script" "s" {
  agent_id     = coder_agent.main.id
  display_name = "S"
  script       = "echo s"
  run_on_start = true
}

resource "coder_env" "path" {
  agent_id       = coder_agent.main.id
  name           = "PATH"
  value          = "/a/bin"
  merge_strategy = "append"
}

resource "coder_env" "token" {
  agent_id = coder_agent.main.id
  name     = "TOKEN"
  value    = "shh"
}

module "inner" {
  source   = "./inner"
  agent_id = coder_agent.main.id
}

resource "coder_devcontainer" "dc" {
  agent_id         = coder_agent.main.id
  workspace_folder = "/home/dev/project"
}

resource "coder_app" "dcapp" {
  agent_id = coder_devcontainer.dc.subagent_id
  slug     = "dcapp"
  url      = "http://localhost:9000"
}
