# A template with a pool: a disk, and a machine that gets the token of the agent. The machine's entry in the file `machines` is
# what starts the agent there (faults/machines.ts). The sizes of pools are set by the scenarios.
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}

variable "ledger" {
  type        = string
  description = "File that every provisioner appends to: what really happened."
}

variable "machines" {
  type        = string
  description = "File to which each machine appends its workspace and the token of its agent."
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}

data "coder_workspace_preset" "pool" {
  name = "pool"
  prebuilds {
    instances = 0
  }
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}

resource "coder_env" "author" {
  agent_id = coder_agent.main.id
  name     = "AUTHOR"
  value    = data.coder_workspace_owner.me.name
}

# One line for each time that the agent begins: for whom, and with whose secrets.
resource "coder_script" "start" {
  agent_id     = coder_agent.main.id
  display_name = "Start"
  run_on_start = true
  script       = "echo \"$CODER_WORKSPACE_OWNER_NAME $AUTHOR $(env | grep ^FAULT_SECRET_ | sort | paste -sd, -)\" >> \"$HOME/starts\""
}

locals {
  object = {
    ledger    = var.ledger
    machines  = var.machines
    seconds   = "0.2"
    workspace = data.coder_workspace.me.id
  }
}

module "disk" {
  source = "./object"
  object = merge(local.object, { address = "module.disk.terraform_data.object" })
}

module "machine" {
  source     = "./machine"
  count      = data.coder_workspace.me.start_count
  depends_on = [module.disk]
  object     = merge(local.object, { address = "module.machine[0].terraform_data.object" })
  token      = coder_agent.main.token
}
