terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}

data "coder_workspace" "me" {}

data "coder_parameter" "size" {
  name    = "size"
  type    = "number"
  default = "8"
  mutable = true
}

resource "terraform_data" "disk" {
  input = data.coder_workspace.me.name
}

resource "terraform_data" "machine" {
  count = data.coder_workspace.me.start_count
  input = data.coder_parameter.size.value
}

# Kept, and paid for, while the workspace is stopped.
resource "coder_metadata" "disk" {
  resource_id = terraform_data.disk.id
  daily_cost  = 2
}

resource "coder_metadata" "machine" {
  count       = data.coder_workspace.me.start_count
  resource_id = terraform_data.machine[0].id
  daily_cost  = data.coder_parameter.size.value
}
