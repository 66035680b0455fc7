terraform {
  required_providers {
    coder = {
      source = "coder/coder"
    }
  }
}

data "coder_workspace" "me" {}

data "coder_parameter" "lines" {
  name    = "lines"
  type    = "number"
  default = 5
  mutable = true
}

data "coder_parameter" "fail" {
  name    = "fail"
  type    = "bool"
  default = false
  mutable = true
}

# Says a line every 50 ms.
resource "terraform_data" "talk" {
  count = data.coder_workspace.me.start_count
  provisioner "local-exec" {
    command = "for i in $(seq 1 ${data.coder_parameter.lines.value}); do echo \"line $i\"; sleep 0.05; done; ! ${data.coder_parameter.fail.value}"
  }
}
