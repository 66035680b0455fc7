terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}

variable "ledger" {
  type        = string
  description = "File that every provisioner appends to: what really happened."
}

variable "seconds" {
  type    = string
  default = "3"
}

data "coder_workspace" "me" {}

resource "terraform_data" "first" {
  input = { ledger = var.ledger, name = data.coder_workspace.me.name }
  provisioner "local-exec" {
    command = "echo create ${self.output.name} first $(date +%s%N) >> ${self.output.ledger}"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "echo destroy ${self.output.name} first $(date +%s%N) >> ${self.output.ledger}"
  }
}

resource "terraform_data" "slow" {
  count      = data.coder_workspace.me.start_count
  depends_on = [terraform_data.first]
  input      = { ledger = var.ledger, name = data.coder_workspace.me.name, seconds = var.seconds }
  provisioner "local-exec" {
    command = "sleep ${self.output.seconds} && echo create ${self.output.name} slow $(date +%s%N) >> ${self.output.ledger}"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "echo destroy ${self.output.name} slow $(date +%s%N) >> ${self.output.ledger}"
  }
}

resource "terraform_data" "last" {
  count      = data.coder_workspace.me.start_count
  depends_on = [terraform_data.slow]
  input      = { ledger = var.ledger, name = data.coder_workspace.me.name }
  provisioner "local-exec" {
    command = "echo create ${self.output.name} last $(date +%s%N) >> ${self.output.ledger}"
  }
}
