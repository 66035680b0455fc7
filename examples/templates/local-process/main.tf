terraform {
  required_version = ">= 1.9"
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.20"
    }
  }
}

variable "base_directory" {
  type        = string
  description = "Where the workspaces of this template live on the provisioner's host; empty: below the worker's home."
  default     = ""
}

variable "pool_size" {
  type        = number
  description = "How many workspaces of the preset `Ready` are kept in reserve."
  default     = 1
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}
data "coder_provisioner" "host" {}

locals {
  base_directory = var.base_directory != "" ? var.base_directory : pathexpand("~/.local/share/berth/workspaces")
  # The id alone: owner and name change when a prebuild is claimed, and a changed path would be a lost home.
  directory = "${local.base_directory}/${data.coder_workspace.me.id}"
  # Same port for the whole life of a workspace, below the range that systems hand out on their own (32768 and up).
  port = 20000 + parseint(substr(sha256(data.coder_workspace.me.id), 0, 6), 16) % 10000
  config = {
    port       = local.port
    greeting   = data.coder_parameter.greeting.value
    log_level  = data.coder_parameter.log_level.value
    disk_mb    = tonumber(data.coder_parameter.disk_mb.value)
    access_log = tobool(data.coder_parameter.access_log.value)
    pages      = jsondecode(data.coder_parameter.pages.value)
    clear      = tobool(data.coder_parameter.clear_cache.value)
  }
}

# The home directory: made with the workspace, kept through every stop, removed with the workspace.
resource "terraform_data" "home" {
  input = {
    directory = local.directory
    layout    = data.coder_parameter.home_layout.value
  }

  provisioner "local-exec" {
    command     = "node ${path.module}/process.mjs create"
    environment = { WORKSPACE_DIRECTORY = self.output.directory, HOME_LAYOUT = self.output.layout }
  }
  provisioner "local-exec" {
    when        = destroy
    command     = "node ${path.module}/process.mjs remove"
    environment = { WORKSPACE_DIRECTORY = self.output.directory }
  }

  lifecycle {
    # A home stays where it was made, also when a later version of the template has another base directory.
    ignore_changes = [input]
  }
}

# Ends the process on stop. It is a resource of its own, made before the process: Terraform runs no destroy provisioner
# of a resource whose creation was interrupted, and a canceled start must not leave a process behind.
resource "terraform_data" "process_guard" {
  count = data.coder_workspace.me.start_count
  input = { directory = terraform_data.home.output.directory }

  provisioner "local-exec" {
    when        = destroy
    command     = "node ${path.module}/process.mjs stop"
    environment = { WORKSPACE_DIRECTORY = self.output.directory }
  }
}

# The process: exists while the workspace is started, is restarted when a parameter changes.
resource "terraform_data" "process" {
  count            = data.coder_workspace.me.start_count
  triggers_replace = local.config
  input = {
    directory = terraform_data.process_guard[0].output.directory
    # Whoever refers to an agent is where it runs: the agent is shown with this resource, and only while it exists.
    agent_id = coder_agent.main.id
  }

  provisioner "local-exec" {
    command = "node ${path.module}/process.mjs start"
    environment = {
      WORKSPACE_DIRECTORY = self.output.directory
      WORKSPACE_CONFIG    = jsonencode(local.config)
    }
  }
}

# Ends the agent's process on stop, after its stop scripts: the platform waits for those before it runs Terraform.
resource "terraform_data" "workspace_agent_guard" {
  count = data.coder_workspace.me.start_count
  input = { directory = terraform_data.home.output.directory }

  provisioner "local-exec" {
    when        = destroy
    command     = "node ${path.module}/process.mjs stop-agent"
    environment = { WORKSPACE_DIRECTORY = self.output.directory }
  }
}

# The agent: what makes a workspace out of a machine. It gets its token through the environment, never on a command line.
resource "terraform_data" "workspace_agent" {
  count            = data.coder_workspace.me.start_count
  triggers_replace = sha256(coder_agent.main.token)
  input            = { directory = terraform_data.workspace_agent_guard[0].output.directory }

  provisioner "local-exec" {
    command = "node ${path.module}/process.mjs start-agent"
    environment = {
      WORKSPACE_DIRECTORY = self.output.directory
      AGENT_SCRIPT        = coder_agent.main.init_script
      CODER_AGENT_TOKEN   = coder_agent.main.token
    }
  }
}

resource "coder_metadata" "home" {
  resource_id = terraform_data.home.id
  icon        = "/icon/folder.svg"
  item {
    key   = "directory"
    value = terraform_data.home.output.directory
  }
  item {
    key   = "disk"
    value = "${data.coder_parameter.disk_mb.value} MiB"
  }
}

# Of no interest to the workspace's owner.
resource "coder_metadata" "process_guard" {
  count       = data.coder_workspace.me.start_count
  resource_id = terraform_data.process_guard[0].id
  hide        = true
}

resource "coder_metadata" "workspace_agent_guard" {
  count       = data.coder_workspace.me.start_count
  resource_id = terraform_data.workspace_agent_guard[0].id
  hide        = true
}

resource "coder_metadata" "workspace_agent" {
  count       = data.coder_workspace.me.start_count
  resource_id = terraform_data.workspace_agent[0].id
  hide        = true
}

resource "coder_metadata" "process" {
  count       = data.coder_workspace.me.start_count
  resource_id = terraform_data.process[0].id
  icon        = "/icon/terminal.svg"
  item {
    key   = "address"
    value = "http://127.0.0.1:${local.port}"
  }
  item {
    key   = "log"
    value = "${terraform_data.home.output.directory}/process.log"
  }
}
