terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}

variable "ledger" {
  type        = string
  description = "File that every provisioner appends to: what really happened."
}

data "coder_workspace" "me" {}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}

resource "terraform_data" "first" {
  input = { ledger = var.ledger, name = data.coder_workspace.me.name }
  provisioner "local-exec" {
    command = "echo create ${self.output.name} first ${self.id} >> ${self.output.ledger}"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "echo destroy ${self.output.name} first ${self.id} >> ${self.output.ledger}"
  }
}

# Counts, ten lines a second, until a file named like the workspace lies beside the ledger.
resource "terraform_data" "counter" {
  depends_on = [terraform_data.first]
  input = {
    ledger = var.ledger
    name   = data.coder_workspace.me.name
    token  = coder_agent.main.token
  }
  provisioner "local-exec" {
    command     = <<-SCRIPT
      i=0
      until [ -e ${self.output.ledger}.${self.output.name} ]; do
        i=$((i+1)); echo "count $i of $TOKEN"; sleep 0.1
      done
      echo create ${self.output.name} counter ${self.id} >> ${self.output.ledger}
    SCRIPT
    environment = { TOKEN = nonsensitive(self.output.token) }
  }
  provisioner "local-exec" {
    when    = destroy
    command = "echo destroy ${self.output.name} counter ${self.id} >> ${self.output.ledger}"
  }
}
