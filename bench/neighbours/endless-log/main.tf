terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}

data "coder_workspace" "me" {}

resource "terraform_data" "noise" {
  count = data.coder_workspace.me.start_count

  provisioner "local-exec" {
    command = "exec yes 'a line of an endless log, long enough to be worth something'"
  }
}
