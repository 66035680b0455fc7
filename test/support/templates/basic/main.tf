terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}

data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}

data "coder_parameter" "size" {
  name    = "size"
  type    = "number"
  default = "1"
  mutable = true
  validation {
    min = 1
    max = 8
  }
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}

resource "terraform_data" "home" {
  input = data.coder_workspace.me.name
}

resource "terraform_data" "machine" {
  count = data.coder_workspace.me.start_count
  input = {
    token = coder_agent.main.token
    size  = data.coder_parameter.size.value
    home  = terraform_data.home.id
  }
}

resource "coder_app" "code" {
  agent_id = coder_agent.main.id
  slug     = "code"
  url      = "http://localhost:8080"
}

resource "coder_metadata" "home" {
  resource_id = terraform_data.home.id
  item {
    key   = "size"
    value = data.coder_parameter.size.value
  }
}
