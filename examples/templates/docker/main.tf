terraform {
  required_version = ">= 1.9"
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.20"
    }
    docker = {
      source  = "kreuzwerker/docker"
      version = "~> 3.0"
    }
  }
}

variable "docker_host" {
  type        = string
  description = "Address of the Docker daemon; empty: what DOCKER_HOST says, else the local socket."
  default     = ""
}

provider "docker" {
  host = var.docker_host != "" ? var.docker_host : null
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}
data "coder_provisioner" "host" {}

data "coder_parameter" "image" {
  name         = "image"
  display_name = "Image"
  type         = "string"
  form_type    = "dropdown"
  default      = "node:22-bookworm"
  mutable      = true
  order        = 1
  option {
    name  = "Node 22 on Debian 12"
    value = "node:22-bookworm"
  }
  option {
    name  = "Node 20 on Debian 12"
    value = "node:20-bookworm"
  }
}

data "coder_parameter" "memory_mb" {
  name         = "memory_mb"
  display_name = "Memory"
  description  = "Limit of the container in MiB."
  type         = "number"
  form_type    = "slider"
  default      = 2048
  mutable      = true
  order        = 2
  validation {
    min = 256
    max = 16384
  }
}

data "coder_workspace_preset" "small" {
  name    = "Small"
  default = true
  parameters = {
    (data.coder_parameter.image.name)     = "node:22-bookworm"
    (data.coder_parameter.memory_mb.name) = "1024"
  }
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = data.coder_provisioner.host.arch

  metadata {
    key          = "memory"
    display_name = "Memory"
    script       = "awk '/MemAvailable/ { printf \"%d MiB free\", $2 / 1024 }' /proc/meminfo"
    interval     = 10
    timeout      = 1
  }
}

resource "coder_env" "git_author" {
  agent_id = coder_agent.main.id
  name     = "GIT_AUTHOR_NAME"
  value    = coalesce(data.coder_workspace_owner.me.full_name, data.coder_workspace_owner.me.name)
}

# Kept through stops; goes with the workspace.
resource "docker_volume" "home" {
  name = "berth-${data.coder_workspace.me.id}-home"

  lifecycle {
    # A changed name would be a new, empty volume.
    ignore_changes = all
  }
}

# Exists while the workspace is started. Everything outside of the home is gone after a stop.
resource "docker_container" "workspace" {
  count    = data.coder_workspace.me.start_count
  name     = "berth-${data.coder_workspace.me.id}"
  image    = data.coder_parameter.image.value
  hostname = data.coder_workspace.me.name
  memory   = tonumber(data.coder_parameter.memory_mb.value)
  # Inside of a container `localhost` is the container: an API on this host is reached by another name.
  entrypoint = ["sh", "-c", replace(coder_agent.main.init_script, "/localhost|127\\.0\\.0\\.1/", "host.docker.internal")]
  env        = ["CODER_AGENT_TOKEN=${coder_agent.main.token}"]

  host {
    host = "host.docker.internal"
    ip   = "host-gateway"
  }
  volumes {
    volume_name    = docker_volume.home.name
    container_path = "/root"
  }
}

resource "coder_metadata" "workspace" {
  count       = data.coder_workspace.me.start_count
  resource_id = docker_container.workspace[0].id
  item {
    key   = "image"
    value = data.coder_parameter.image.value
  }
}

resource "coder_metadata" "home" {
  resource_id = docker_volume.home.id
  item {
    key   = "volume"
    value = docker_volume.home.name
  }
}
