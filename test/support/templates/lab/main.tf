terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}

variable "ledger" {
  type        = string
  description = "File that every provisioner appends to: what really happened."
}

variable "canary" {
  type      = string
  sensitive = true
  default   = "canary-of-a-variable"
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}

# What the build is to do: "plain", "fail", "twins", "print", "environment", or a number of seconds to wait.
data "coder_parameter" "act" {
  name      = "act"
  type      = "string"
  default   = "plain"
  mutable   = true
  ephemeral = true
}

locals {
  act     = data.coder_parameter.act.value
  seconds = can(tonumber(local.act)) ? tonumber(local.act) : 0
  file    = "${var.ledger}.${data.coder_workspace.me.name}"
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}

# Two agents of one name: Terraform sees nothing wrong with them.
resource "coder_agent" "twin" {
  count = local.act == "twins" ? 2 : 0
  os    = "linux"
  arch  = "amd64"
}

resource "terraform_data" "volume" {
  input = data.coder_workspace.me.name
}

resource "terraform_data" "secrets" {
  count = data.coder_workspace.me.start_count
  input = {
    agent_token   = coder_agent.main.token
    session_token = data.coder_workspace_owner.me.session_token
    ssh_key       = data.coder_workspace_owner.me.ssh_private_key
  }
}

resource "terraform_data" "first" {
  count      = data.coder_workspace.me.start_count
  depends_on = [terraform_data.volume]
  input      = local.file
  provisioner "local-exec" {
    command = "echo create first >> ${self.output}"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "echo destroy first >> ${self.output}"
  }
}

resource "terraform_data" "second" {
  count      = data.coder_workspace.me.start_count
  depends_on = [terraform_data.first]
  input      = local.file
  provisioner "local-exec" {
    command = <<-SCRIPT
      trap '' INT
      echo begin second >> ${self.output}
      sleep ${local.seconds}
      [ ${local.act} != fail ] || { echo the second one is refused >&2; exit 1; }
      echo create second >> ${self.output}
    SCRIPT
  }
  provisioner "local-exec" {
    when    = destroy
    command = "echo destroy second >> ${self.output}"
  }
}

resource "terraform_data" "printer" {
  count      = local.act == "print" ? data.coder_workspace.me.start_count : 0
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "echo variable $CANARY; echo agent $AGENT; echo session $SESSION; echo key \"$KEY\" >&2; sleep 1"
    environment = {
      CANARY  = nonsensitive(var.canary)
      AGENT   = nonsensitive(coder_agent.main.token)
      SESSION = nonsensitive(data.coder_workspace_owner.me.session_token)
      KEY     = nonsensitive(data.coder_workspace_owner.me.ssh_private_key)
    }
  }
}

resource "terraform_data" "environment" {
  count = local.act == "environment" ? data.coder_workspace.me.start_count : 0
  provisioner "local-exec" {
    command = "env > ${local.file}.environment"
  }
}
