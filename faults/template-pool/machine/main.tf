# As faults/template/object, for something that is made anew when the token of its agent changes.
variable "object" {
  type = object({
    ledger    = string
    machines  = string
    seconds   = string
    workspace = string
    address   = string
  })
}

variable "token" {
  type      = string
  sensitive = true
}

resource "terraform_data" "object" {
  input            = var.object
  triggers_replace = sha256(var.token)

  provisioner "local-exec" {
    command     = "sleep ${self.output.seconds} && echo create ${self.output.workspace} ${self.output.address} ${self.id} $(date +%s%N) $PPID $CODER_WORKSPACE_BUILD_ID >> ${self.output.ledger} && echo ${self.output.workspace} $TOKEN >> ${self.output.machines}"
    environment = { TOKEN = var.token }
  }
  provisioner "local-exec" {
    when    = destroy
    command = "sleep ${self.output.seconds} && echo destroy ${self.output.workspace} ${self.output.address} ${self.id} $(date +%s%N) $PPID $CODER_WORKSPACE_BUILD_ID >> ${self.output.ledger}"
  }
}
