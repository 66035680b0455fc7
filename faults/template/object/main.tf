# One object of the world. It takes a moment and then has its effect: one line in the ledger, written by one `echo`. The pause
# comes first, so that a provisioner that is interrupted in it has no effect.
variable "object" {
  type = object({
    ledger    = string
    seconds   = string
    workspace = string
    address   = string
  })
}

resource "terraform_data" "object" {
  input = var.object

  provisioner "local-exec" {
    command = "sleep ${self.output.seconds} && echo create ${self.output.workspace} ${self.output.address} ${self.id} $(date +%s%N) $PPID $CODER_WORKSPACE_BUILD_ID >> ${self.output.ledger}"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "sleep ${self.output.seconds} && echo destroy ${self.output.workspace} ${self.output.address} ${self.id} $(date +%s%N) $PPID $CODER_WORKSPACE_BUILD_ID >> ${self.output.ledger}"
  }
}
